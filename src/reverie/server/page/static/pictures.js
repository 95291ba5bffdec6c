// The generator: from a seed a picture and its caption.

import { send } from "/page/api.js";
import { by, guarded, make } from "/page/dom.js";

export function openPictures() {}

export function startPictures() {
  by("generate").addEventListener("submit", guarded(async () => {
    const [seed, n] = [Number(by("picture-seed").value), Number(by("picture-count").value)];
    const made = await send("/v1/images/generations", { model: by("generator").value, n, seed, response_format: "b64_json" });
    by("generated").replaceChildren(...made.data.map((one, place) => {
      const caption = one.caption ?? one.revised_prompt ?? "";
      return make("li", {}, make("figure", {}, make("img", { src: `data:image/png;base64,${one.b64_json}`, alt: caption || `picture of seed ${seed + place}` }), make("figcaption", {}, caption)));
    }));
  }));
}
