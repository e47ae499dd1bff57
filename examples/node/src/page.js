import debounce from "lodash/debounce";
import "./page.css";

const source = document.getElementById("source");
const rendered = document.getElementById("rendered");
const words = document.getElementById("words");

async function post(url) {
  return fetch(url, { method: "POST", headers: { "Content-Type": "text/plain" }, body: source.value });
}

async function refresh() {
  rendered.innerHTML = await (await post("/render")).text();
  const top = await (await post("/words")).json();
  words.replaceChildren(
    ...top.map(({ word, count }) => {
      const item = document.createElement("li");
      item.textContent = `${word}: ${count}`;
      return item;
    }),
  );
}

source.addEventListener("input", debounce(refresh, 200));
refresh();
