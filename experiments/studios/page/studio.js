const find = (name) => document.getElementById(name);
const post = (path, body) => fetch(path, { method: "POST", body: body && JSON.stringify(body) });
let run = null;
let shown = 0;

async function show(state) {
  run = state.run;
  find("status").textContent = run ? `${run.doing}, step ${run.step} of ${run.steps}` : state.worker;
  if (!run || run.frame === shown) return;
  const answer = await fetch(`api/runs/${run.id}/frame?after=${shown}`);
  if (answer.status !== 200) return;
  shown = Number(answer.headers.get("Frame"));
  const before = find("frame").src;
  find("frame").src = URL.createObjectURL(await answer.blob());
  URL.revokeObjectURL(before);
}

new EventSource("api/news").addEventListener("state", (event) => show(JSON.parse(event.data)));

find("start").addEventListener("click", async () => {
  const { samples } = await (await fetch("api/studio")).json();
  await post("api/runs", { content: samples.contents[0].id, styles: [samples.styles[0].id] });
});

find("strength").addEventListener("input", () => {
  if (run) post(`api/runs/${run.id}/dials`, { dials: { strength: Number(find("strength").value) } });
});
