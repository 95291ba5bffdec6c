// How an answer is shown: its words, how sure it is, its dreams, what it rests on, who wrote it.

import { send } from "/page/api.js";
import { guarded, make } from "/page/dom.js";

const percent = (share) => `${Math.floor(100 * share)} %`;

export function showAnswer(card, answer) {
  const known = answer.known;
  card.classList.add(known ? "known" : "unknown");
  const more = [];
  if (answer.guess && !known && !answer.text?.includes(answer.guess)) more.push(make("p", { class: "guess" }, `Not sure: ${answer.guess}`));
  more.push(meter(answer));
  if (answer.why) more.push(make("p", { class: "dim" }, answer.why));
  if (answer.dreams.length) more.push(folded(`Dreams (${answer.dreams.length})`, dreams(answer), true));
  if (answer.evidence.length && known) more.push(folded(`Rests on (${answer.evidence.length})`, evidence(answer)));
  if (answer.sentences?.length) more.push(folded("Sentence by sentence", sentences(answer)));
  if (answer.checks.length) more.push(folded(checksTitle(answer), checks(answer), !known && !answer.dreams.length));
  const experts = answer.attribution?.experts;
  if (experts && Object.keys(experts).length) more.push(folded("Who wrote it", written(answer, experts)));
  if (answer.turn) more.push(judging(answer.turn));
  card.append(...more);
}

const folded = (title, content, open = false) => make("details", { open }, make("summary", {}, title), content);

function meter(answer) {
  const said = `${answer.known ? "known" : "not known"}, ${percent(answer.confidence)} sure`;
  const bar = make("meter", { min: 0, max: 1, value: answer.confidence, "aria-label": said });
  return make("div", { class: "meter" }, bar, make("span", {}, said), make("span", {}, `by ${answer.model || answer.backend}, ${answer.seconds.toFixed(1)} s`));
}

function dreams(answer) {
  const winner = answer.known ? answer.verdict.branch : -1;
  const order = answer.dreams.map((dream, index) => [dream, index]).sort((a, b) => (b[1] === winner) - (a[1] === winner) || b[0].score - a[0].score);
  const [first, ...others] = order.map(([dream, index]) => oneDream(dream, index, index === winner));
  const told = make("div", {}, first, others.length ? folded(`${others.length} more`, make("div", {}, ...others)) : null);
  if (winner >= 0 && answer.verdict.reason) told.prepend(make("p", { class: "dim" }, `${answer.verdict.reason}.`));
  return told;
}

function oneDream(dream, index, won) {
  const scores = Object.entries(dream.scores).map(([name, value]) => make("span", {}, `${name} ${value.toFixed(2)}`));
  const head = make("div", { class: "dim" }, make("strong", {}, won ? `Dream ${index + 1}, the winner` : `Dream ${index + 1}`), make("span", {}, `score ${dream.score.toFixed(2)}`), ...scores);
  const pictured = dream.triplets.some((triplet) => triplet.what.image || triplet.result.image);
  return make("article", { class: won ? "dream won" : "dream", "aria-label": `Dream ${index + 1}` }, head, pictured ? strip(dream.triplets) : words(dream.triplets));
}

function strip(triplets) {
  const panel = (part) => make("figure", {}, part.image ? make("img", { src: part.image, alt: part.text || "a dreamed picture" }) : null, make("figcaption", {}, part.text));
  const panels = triplets.flatMap((triplet, place) => [
    ...(place ? [] : [panel(triplet.what)]), make("span", { class: "act" }, `${triplet.action.text || "wait"} →`), panel(triplet.result),
  ]);
  return make("div", { class: "strip", tabindex: 0, role: "group", "aria-label": "What is imagined, picture by picture" }, ...panels);
}

function words(triplets) {
  const rows = triplets.flatMap((triplet, place) => [...(place ? [] : [["Situation", triplet.what.text]]), ["Action", triplet.action.text], ["Result", triplet.result.text]]);
  return make("dl", { class: "words" }, ...rows.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

function evidence(answer) {
  return make("ul", { class: "facts" }, ...answer.evidence.map((fact, place) => oneFact(fact, `[${place + 1}] `)));
}

// What each sentence rests on: experts with their share, dreams and facts by their numbers, or nothing.
function sentences(answer) {
  return make("ul", { class: "facts" }, ...answer.sentences.map((one) => make("li", {}, make("span", {}, `${one.text} `, make("span", { class: "dim" }, `(${rests(one)})`)))));
}

function rests(one) {
  const experts = Object.entries(one.experts).map(([name, share]) => `${name} ${percent(share)}`);
  const dreams = one.dreams.length ? [`dream ${one.dreams.map((place) => place + 1).join(", ")}`] : [];
  const facts = one.facts.map(({ place, words }) => `[${place}]${words.length ? ` by “${words.join(" ")}”` : ""}`);
  return [...experts, ...dreams, ...facts].join("; ") || "nothing: the model's own words";
}

export function oneFact(fact, mark = "", ...more) {
  const said = fact.relation === "says" || fact.relation === "Says" ? `${fact.subject}: “${fact.object}”` : `${fact.subject} — ${fact.relation} → ${fact.object}`;
  const source = [fact.source, fact.score === undefined ? null : percent(fact.score), fact.reason].filter(Boolean).join(", ");
  return make("li", {}, make("span", {}, `${mark}${said} `, make("span", { class: "dim" }, `(${source})`)), ...more);
}

function checksTitle(answer) {
  const failed = answer.checks.filter((check) => !check.held).length;
  return failed ? `Checks: ${failed} of ${answer.checks.length} failed` : `Checks: all ${answer.checks.length} held`;
}

function checks(answer) {
  const order = [...answer.checks].sort((a, b) => a.held - b.held);
  return make("ul", { class: "checks" }, ...order.map((check) => make("li", { class: check.held ? "" : "no" }, make("strong", {}, check.name), `: ${check.why}`)));
}

// Which expert gave most to each piece of the answer: shown by colour, named on hover and in the list.
function written(answer, experts) {
  const names = Object.keys(experts);
  const hue = (name) => Math.round((360 * names.indexOf(name)) / names.length);
  const list = names.map((name) => make("li", {}, make("span", { style: `background: hsl(${hue(name)} 60% 50% / .3); padding: 0 .3rem; border-radius: .3rem` }, name),
    ` weight ${experts[name].weight.toFixed(2)}, contribution ${experts[name].contribution.toFixed(2)}`));
  const pieces = (answer.attribution.ids ?? []).map((piece, place) => {
    const strongest = names.reduce((best, name) => ((experts[name].by_id?.[place] ?? 0) > (experts[best].by_id?.[place] ?? 0) ? name : best), names[0]);
    const size = experts[strongest].by_id?.[place] ?? 0;
    const span = make("span", { title: `${strongest} ${size.toFixed(2)}` }, piece);
    span.style.background = `hsl(${hue(strongest)} 60% 50% / ${Math.min(0.6, size)})`;
    return span;
  });
  return make("div", {}, make("ul", {}, ...list), make("p", { class: "by" }, ...pieces));
}

function judging(turn) {
  const box = make("div", { class: "said" });
  const judge = async (feedback, correction = "") => {
    await send("/v1/reverie/feedback", { turn, feedback, correction });
    good.setAttribute("aria-pressed", feedback === "good");
    wrong.setAttribute("aria-pressed", feedback === "wrong");
  };
  const good = make("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: guarded(() => judge("good")) }, "Good");
  const wrong = make("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: guarded(async () => {
    await judge("wrong");
    if (!box.querySelector("form")) box.append(correcting);
    correcting.querySelector("input").focus();
  }) }, "Wrong");
  const correcting = make("form", { onsubmit: guarded(async () => {
    const input = correcting.querySelector("input");
    await judge("wrong", input.value);
    correcting.replaceWith(make("span", { class: "dim", role: "status" }, "Kept, to learn from."));
  }) }, make("input", { "aria-label": "What it should have been", placeholder: "That is wrong, it is …" }), make("button", {}, "Keep"));
  box.append(good, wrong);
  return box;
}
