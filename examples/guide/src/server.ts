import express from "express";
import { greeting } from "./greeting";

const app = express();
app.get("/", (request, response) => {
  response.type("text").send(greeting(String(request.query.name ?? "world")));
});

if (process.argv.includes("--check")) {
  console.log(greeting("check"));
} else {
  const port = Number(process.env.PORT ?? 3000);
  const listener = app.listen(port, () => console.log(`listening on ${port}`));
  process.on("SIGTERM", () => listener.close());
}
