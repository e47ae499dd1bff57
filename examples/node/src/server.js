const path = require("path");
const express = require("express");
const { render, topWords } = require("./text");

const app = express();
app.use(express.text({ type: "text/*", limit: "1mb" }));
app.get("/healthz", (request, response) => response.json({ ok: true }));
app.post("/render", (request, response) => response.type("html").send(render(request.body)));
app.post("/words", (request, response) => response.json(topWords(request.body)));
app.use(express.static(path.join(__dirname, "public")));

if (process.argv.includes("--check")) {
  // Proves that the bundle is whole, without opening a port.
  console.log(render("# pagecount is whole").trim(), JSON.stringify(topWords("b a b")));
} else {
  const port = Number(process.env.PORT || 3000);
  const listener = app.listen(port, () => console.log(`listening on ${port}`));
  process.on("SIGTERM", () => listener.close());
}
