// What the page asks the server: its public API, and nothing else.

export class Fault extends Error {}

async function told(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Fault(body.error?.message ?? body.error ?? `the server answered ${response.status}`);
  return body;
}

export async function get(path, query = {}) {
  const asked = new URLSearchParams(query).toString();
  return told(await fetch(asked ? `${path}?${asked}` : path, { headers: { Accept: "application/json" } }));
}

export async function send(path, body, method = "POST") {
  return told(await fetch(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) }));
}

export async function remove(path, query = {}) {
  const asked = new URLSearchParams(query).toString();
  return send(asked ? `${path}?${asked}` : path, {}, "DELETE");
}

// Events of a stream, each a JSON object, as they come.
export async function* stream(path, body, signal) {
  const response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal });
  if (!response.ok) await told(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
      if (!data || data === "[DONE]") continue;
      const one = JSON.parse(data);
      if (one.error) throw new Fault(one.error.message ?? one.error);
      yield one;
    }
  }
}
