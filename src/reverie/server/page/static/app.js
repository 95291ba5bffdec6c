// The page's parts, and what its buttons do.

import { get } from "/page/api.js";
import { by, fault, guarded, make } from "/page/dom.js";
import { openExperts, startExperts } from "/page/experts.js";
import { openGaps } from "/page/gaps.js";
import { openMemory, startMemory } from "/page/memory.js";
import { openPictures, startPictures } from "/page/pictures.js";
import { listTalks, startTalk } from "/page/talk.js";

const model = by("model");
const opened = { talk: listTalks, memory: openMemory, experts: (model) => Promise.all([openExperts(model), openGaps(model)]), pictures: openPictures };
const tabs = [...document.querySelectorAll("[role=tab]")];

function choose(tab) {
  for (const one of tabs) {
    const chosen = one === tab;
    one.setAttribute("aria-selected", chosen);
    one.tabIndex = chosen ? 0 : -1;
    by(one.getAttribute("aria-controls")).hidden = !chosen;
  }
  guarded(() => opened[tab.getAttribute("aria-controls")](model.value))();
}

for (const tab of tabs) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const shown = tabs.filter((one) => !one.hidden);
    const next = shown[(shown.indexOf(tab) + step + shown.length) % shown.length];
    next.focus();
    choose(next);
  });
}

model.addEventListener("change", () => {
  localStorage.setItem("model", model.value);
  choose(tabs.find((tab) => tab.getAttribute("aria-selected") === "true"));
});

try {
  const models = (await get("/v1/models")).data.filter((one) => !one.parent);
  const speakers = models.filter((one) => "dreams" in one);
  const generators = models.filter((one) => !("dreams" in one));
  const joined = speakers.filter((one) => one.dreams).flatMap((first) => speakers.filter((one) => !one.dreams).map((then) => `${first.id}+${then.id}`));
  const names = [...joined, ...speakers.map((one) => one.id)]; // who dreams, beside who answers what nobody taught it
  model.append(...names.map((name) => make("option", { value: name }, name)));
  const last = localStorage.getItem("model");
  if (names.includes(last)) model.value = last;
  by("tab-pictures").hidden = !generators.length;
  by("generator").append(...generators.map((one) => make("option", { value: one.id }, one.id)));
  if (!speakers.length && generators.length) choose(by("tab-pictures"));
  startTalk(() => model.value);
  startMemory(() => model.value);
  startExperts(() => model.value);
  startPictures();
  await listTalks();
} catch (error) {
  fault(error);
}
