// The memory: what it has to say, what is added, what is forgotten.

import { oneFact } from "/page/answer.js";
import { get, remove, send } from "/page/api.js";
import { asDataUrl, by, guarded, make } from "/page/dom.js";

export function startMemory(model) {
  by("recall").addEventListener("submit", guarded(() => recall(model())));
  by("add-fact").addEventListener("submit", guarded(async () => {
    const form = by("add-fact");
    const told = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
    await send("/v1/reverie/memory/facts", { model: model(), ...told });
    by("recall-words").value = told.subject;
    form.reset();
    await recall(model());
    await openMemory(model());
  }));
  by("document").addEventListener("change", guarded(async () => {
    const file = by("document").files[0];
    by("document").value = "";
    if (file) await read(model(), file);
  }));
}

export async function openMemory(model) {
  const about = await get("/v1/reverie/memory", { model });
  by("memory-about").textContent = `Facts: ${about.edges.toLocaleString()}, nodes: ${about.nodes.toLocaleString()}, in ${about.memory}`;
  const { documents } = await get("/v1/reverie/documents", { model });
  by("documents").replaceChildren(...documents.map((one) => make("li", {}, make("span", {}, one.title, " ", make("span", { class: "dim" }, `${one.passages} passages, ${one.source}`)),
    make("button", { type: "button", class: "quiet", "aria-label": `Forget ${one.title}`, onclick: guarded(async () => {
      await remove(`/v1/reverie/documents/${one.id}`, { model });
      await openMemory(model);
    }) }, "Forget"))));
}

async function recall(model) {
  const question = by("recall-words").value.trim();
  if (!question) return;
  const found = await send("/v1/reverie/memory/recall", { model, question });
  const passages = found.nodes.filter((node) => node.text).map((node) => ({ subject: node.name, relation: "says", object: node.text, source: node.source ?? node.kind, score: node.score }));
  const facts = found.facts.filter((fact) => fact.relation !== "mentions");
  const told = [...facts, ...passages].sort((a, b) => b.score - a.score);
  by("recalled").replaceChildren(...told.map((fact) => oneFact(fact, "", fact.id > 0 ? make("button", { type: "button", class: "quiet", "aria-label": `Forget: ${fact.subject} ${fact.relation} ${fact.object}`,
    onclick: guarded(async () => { await remove(`/v1/reverie/memory/facts/${fact.id}`, { model }); await recall(model); }) }, "Forget") : null)));
  if (!told.length) by("recalled").append(make("li", {}, "The memory has nothing to say about this."));
}

async function read(model, file) {
  const [, data] = (await asDataUrl(file)).split(",");
  let job = await send("/v1/reverie/documents", { model, name: file.name, data });
  const bar = by("reading");
  bar.hidden = false;
  while (job.state === "running") {
    await new Promise((done) => setTimeout(done, 300));
    job = await get(`/v1/reverie/jobs/${job.id}`);
    if (job.total) { bar.max = job.total; bar.value = job.done; }
  }
  bar.hidden = true;
  if (job.state === "failed") throw new Error(job.error);
  await openMemory(model);
}
