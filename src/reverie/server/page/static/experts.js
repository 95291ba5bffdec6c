// The experts of a model, with what their cards say.

import { get } from "/page/api.js";
import { by, make } from "/page/dom.js";

export async function openExperts(model) {
  const { experts } = await get("/v1/reverie/experts", { model });
  by("expert-list").replaceChildren(...experts.map((one) => make("li", {}, make("h2", {}, one.name), make("p", {}, one.description ?? one.card?.description ?? ""),
    make("p", { class: "dim" }, [one.rank ? `rank ${one.rank}` : null, one.num_parameters ? `${one.num_parameters.toLocaleString()} parameters` : null].filter(Boolean).join(", ")))));
  if (!experts.length) by("expert-list").append(make("li", {}, "This model has no experts yet."));
}
