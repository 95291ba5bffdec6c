// What a model does not know, and experts that are grown for it.

import { get, remove, send } from "/page/api.js";
import { by, guarded, make } from "/page/dom.js";

export async function openGaps(model) {
  const { gaps, alone } = await get("/v1/reverie/gaps", { model });
  by("gap-list").replaceChildren(...gaps.map((gap) => make("li", {},
    make("h2", {}, gap.name,
      make("button", { type: "button", onclick: guarded(() => grow(model, gap)) }, "Grow an expert"),
      make("button", { type: "button", class: "quiet", "aria-label": `Dismiss ${gap.name}`, onclick: guarded(async () => {
        await remove(`/v1/reverie/gaps/${encodeURIComponent(gap.id)}`, { model });
        await openGaps(model);
      }) }, "Dismiss")),
    make("p", {}, gap.questions.join(" · ")),
    make("p", { class: "dim" }, `${gap.count} questions, severity ${gap.severity.toFixed(1)}${gap.expert ? `, in the domain of ${gap.expert}` : ""}`))));
  if (!gaps.length) by("gap-list").append(make("li", {}, alone ? `${alone} questions were not known; five of a kind make a gap.` : "Nothing was missed so far."));
}

async function grow(model, gap) {
  const [bar, said] = [by("growing"), by("grown")];
  let job = await send(`/v1/reverie/gaps/${encodeURIComponent(gap.id)}/grow`, { model });
  bar.hidden = said.hidden = false;
  while (job.state === "running") {
    await new Promise((done) => setTimeout(done, 500));
    job = await get(`/v1/reverie/jobs/${job.id}`);
    said.textContent = `${gap.name}: ${job.step}`;
    if (job.total) { bar.max = job.total; bar.value = job.done; } else bar.removeAttribute("value");
  }
  bar.hidden = true;
  said.textContent = job.state === "failed" ? `${gap.name}: ${job.error}`
    : job.result.admitted ? `${job.result.expert} is there, and helps from the next question on.` : `${job.result.expert} was not let in: ${job.result.why}`;
  if (job.state === "done") by("tab-experts").click();  // the lists anew
}
