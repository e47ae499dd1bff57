async function tick(): Promise<void> {
  const answer = await fetch("/api/time");
  document.getElementById("clock")!.textContent = await answer.text();
}

setInterval(tick, 1000);
