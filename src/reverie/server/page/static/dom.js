// Elements from a few words. Texts are always texts: nothing that a model or a memory says becomes markup.

export const by = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") element.style.cssText = value; // an attribute would be refused by the page's own policy
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

let fading;
export function fault(error) {
  if (error.name === "AbortError") return;
  const box = by("fault");
  box.textContent = error.message;
  box.hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => { box.hidden = true; }, 8000);
}

// Runs what an event asks for; what goes wrong is told in one line.
export const guarded = (work) => async (event) => {
  event?.preventDefault?.();
  try { await work(event); } catch (error) { fault(error); }
};

export function asDataUrl(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });
}
