// The experts of a model, with what their cards say; adapters as PEFT saves them can be added.

import { get, remove, send } from "/page/api.js";
import { asDataUrl, by, guarded, make } from "/page/dom.js";

export function startExperts(model) {
  by("add-expert").addEventListener("submit", guarded(async () => {
    const form = by("add-expert");
    const [config, weights] = [form.config.files[0], form.weights.files[0]];
    const [, data] = (await asDataUrl(weights)).split(",");
    await send("/v1/reverie/experts", { model: model(), name: form.called.value, config: JSON.parse(await config.text()), weights: data, trust_base: form.trust.checked });
    form.reset();
    await openExperts(model());
  }));
}

export async function openExperts(model) {
  const { experts } = await get("/v1/reverie/experts", { model });
  by("expert-list").replaceChildren(...experts.map((one) => make("li", {},
    make("h2", {}, one.name, one.packaged ? null : make("button", { type: "button", class: "quiet", "aria-label": `Remove ${one.name}`, onclick: guarded(async () => {
      await remove(`/v1/reverie/experts/${encodeURIComponent(one.name)}`, { model });
      await openExperts(model);
    }) }, "Remove")),
    make("p", {}, one.description),
    make("p", { class: "dim" }, `rank ${one.rank}, ${one.num_parameters.toLocaleString()} parameters${one.licence ? `, ${one.licence}` : ""}`))));
  if (!experts.length) by("expert-list").append(make("li", {}, "This model has no experts yet."));
}
