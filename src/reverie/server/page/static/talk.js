// A talk: questions, streamed answers, and the talks before it.

import { showAnswer } from "/page/answer.js";
import { get, remove, stream } from "/page/api.js";
import { asDataUrl, by, fault, guarded, make } from "/page/dom.js";

const IDEAS = ["What happens when you drop a glass?", "Will an egg break if it falls on a pillow?", "Which is heavier, a stone or a feather?", "What happens if you leave ice cream in the sun?"];
const history = [];
let talk = null;
let picture = null;
let under_way = null;

export function startTalk(model) {
  const question = by("question");
  const ask = guarded(async () => {
    const text = question.value.trim();
    if (!text || under_way) return;
    question.value = "";
    fit();
    await asked(model(), text);
  });
  const fit = () => { question.style.height = "auto"; question.style.height = `${question.scrollHeight + 2}px`; };
  by("ask").addEventListener("submit", ask);
  question.addEventListener("input", fit);
  question.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) ask(event); });
  by("stop").addEventListener("click", () => under_way?.abort());
  by("new-talk").addEventListener("click", fresh);
  by("find").addEventListener("input", guarded(() => listTalks()));
  by("image").addEventListener("change", guarded(async () => show(await asDataUrl(by("image").files[0]))));
  by("unshow").addEventListener("click", () => show(null));
  by("ideas").append(...IDEAS.map((idea) => make("li", {}, make("button", { type: "button", onclick: (event) => { question.value = idea; ask(event); } }, idea))));
  question.focus();
}

function show(data) {
  picture = data;
  by("shown").hidden = !data;
  if (data) by("shown-picture").src = data;
  else by("image").value = "";
}

function fresh() {
  history.length = 0;
  talk = null;
  by("turns").replaceChildren();
  by("hello").hidden = false;
  show(null);
  listTalks().catch(fault);
  by("question").focus();
}

function settings() {
  const number = (id) => (by(id).value === "" ? null : Number(by(id).value));
  const named = by("named").value.trim();
  return {
    branches: number("branches") ?? 4, temperature: number("temperature"), seed: number("seed") ?? 0, system: by("system").value,
    experts: named ? (named === "none" ? [] : named.split(/[\s,]+/)) : null, explain: by("explain").checked, remember: by("remember").checked,
  };
}

async function asked(model, question) {
  by("hello").hidden = true;
  const text = make("div", { class: "text waiting" });
  const card = make("div", { class: "answer" }, text);
  const turn = make("li", {}, make("p", { class: "asked" }, question, picture ? make("img", { src: picture, alt: "the picture asked about", height: 64 }) : null), card);
  by("turns").append(turn);
  turn.scrollIntoView({ block: "end" });
  const body = { model, question, history: [...history], image: picture, talk, stream: true, ...settings() };
  under_way = new AbortController();
  busy(true);
  try {
    for await (const event of stream("/v1/reverie/ask", body, under_way.signal)) {
      if (event.type === "text") text.textContent += event.text;
      else if (event.type === "answer") done(card, text, question, event);
      if (event.type === "text") card.scrollIntoView({ block: "nearest" });
    }
    if (text.classList.contains("waiting")) throw new Error("the answer was cut off");
    show(null);
  } catch (error) {
    card.classList.add("failed");
    text.append(error.name === "AbortError" ? " (stopped)" : ` ${error.message}`);
  } finally {
    text.classList.remove("waiting");
    under_way = null;
    busy(false);
    listTalks().catch(fault);
  }
}

function done(card, text, question, answer) {
  text.textContent = answer.answer;
  text.classList.remove("waiting");
  talk = answer.talk;
  history.push({ question, answer: answer.answer, guess: answer.guess });
  showAnswer(card, answer);
  card.parentElement.scrollIntoView({ block: "start" });
}

function busy(is) {
  by("send").disabled = is;
  by("stop").hidden = !is;
  if (!is) by("question").focus();
}

export async function listTalks() {
  const words = by("find").value.trim();
  const list = by("talks");
  let rows;
  try {
    if (words) {
      const turns = (await get("/v1/reverie/talks/search", { words, limit: 30 })).turns;
      rows = [...new Map(turns.map((turn) => [turn.talk, { id: turn.talk, opening: turn.question }])).values()];
    } else rows = (await get("/v1/reverie/talks", { limit: 30 })).talks;
  } catch {
    rows = []; // this server keeps none
  }
  list.replaceChildren(...rows.map((one) => make("li", { "aria-current": one.id === talk ? "true" : null },
    make("button", { type: "button", title: one.opening, onclick: guarded(() => open(one.id)) }, one.opening || `talk ${one.id}`),
    make("button", { type: "button", class: "drop", "aria-label": `Delete: ${one.opening}`, onclick: guarded(async () => {
      await remove(`/v1/reverie/talks/${one.id}`);
      if (one.id === talk) fresh(); else await listTalks();
    }) }, "×"))));
}

async function open(id) {
  const told = await get(`/v1/reverie/talks/${id}`);
  fresh();
  talk = id;
  by("hello").hidden = told.turns.length > 0;
  for (const turn of told.turns) {
    const card = make("div", { class: "answer" }, make("div", { class: "text" }, turn.answer));
    by("turns").append(make("li", {}, make("p", { class: "asked" }, turn.question), card));
    if (turn.details.dreams) showAnswer(card, { ...turn.details, text: turn.answer, turn: turn.id });
    history.push({ question: turn.question, answer: turn.answer, guess: turn.details.guess ?? "" });
  }
  await listTalks();
}
