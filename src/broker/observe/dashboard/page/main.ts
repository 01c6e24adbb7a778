// The dashboard: takes each state as it comes and shows it.
import { Board } from "./board.ts";
import { announce, byId, field, setText } from "./element.ts";
import { timeOfDay } from "./format.ts";
import { ApiKey } from "./key.ts";
import { newsOf } from "./news.ts";
import { OperatorPanel } from "./operator.ts";
import { Overview } from "./overview.ts";
import type { State } from "./state.ts";
import { StateFeed } from "./stream.ts";
import { startTheme } from "./theme.ts";

const operator = new OperatorPanel();
const overview = new Overview();
const filter = field("filter");
const key = new ApiKey(showConnection, () => stream.retryNow());
const board = new Board(operator, key);
const stream = new StateFeed(key, { state: receive, lost: lose });

let last: { state: State; at: number } | undefined;
let lost: { why: string; retryAt: number } | undefined;

function receive(state: State): void {
  const news = last === undefined ? "" : newsOf(last.state, state);
  const back = lost !== undefined && last !== undefined;
  lost = undefined;
  last = { state, at: Date.now() };
  operator.offered = state.plugins.server?.admin === true;
  overview.update(state);
  board.update(state, filter.value);
  byId("waiting-page").hidden = true;
  byId("main").hidden = false;
  showConnection();
  if (back || news !== "") announce([back ? "Reconnected" : "", news].filter(part => part !== "").join(". "));
}

function lose(why: string, retryAt: number): void {
  if (lost === undefined) announce(`Connection lost. ${why}`);
  lost = { why, retryAt };
  key.lost(why);
  showConnection();
}

/** Shows whether the page is up to date, and what to do if not. */
function showConnection(): void {
  const missing = key.missing;
  const live = !missing && lost === undefined && last !== undefined;
  byId("notice").hidden = !missing && lost === undefined;
  byId("forget").hidden = !key.known && !operator.known;
  document.body.classList.toggle("stale", !live && last !== undefined);
  setText(byId("live"), live ? "live" : missing ? "locked" : lost === undefined ? "connecting" : "lost");
  byId("live").classList.toggle("on", live);
  if (missing) {
    setText(byId("notice-text"), "This broker requires an API key.");
    setText(byId("notice-act"), "Enter API key");
  } else if (lost !== undefined) {
    const seconds = Math.max(0, Math.ceil((lost.retryAt - Date.now()) / 1000));
    const seen = last === undefined ? "" : ` Showing the state of ${timeOfDay(last.at)}.`;
    const next = seconds > 0 ? `Retrying in ${seconds} s.` : "Retrying …";
    setText(byId("notice-text"), `${lost.why}${seen} ${next}`);
    setText(byId("notice-act"), "Retry now");
  }
}

startTheme();
filter.addEventListener("input", () => {
  if (last !== undefined) board.update(last.state, filter.value);
});
byId("forget").addEventListener("click", () => key.forget());
byId("notice-act").addEventListener("click", () => {
  if (key.missing) key.show();
  else stream.retryNow();
});
addEventListener("online", () => stream.retryNow());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) stream.retryNow();
});
// The seconds until the next try.
setInterval(() => {
  if (lost !== undefined) showConnection();
}, 1000);
void stream.run();
