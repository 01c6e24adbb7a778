// The color theme: light, dark, or system.
import { byId, setAttribute } from "./element.ts";

const STORED = "nfrx.theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" } as const;
const SAYS = { auto: "system", light: "light", dark: "dark" } as const;
type Theme = keyof typeof NEXT;

function isTheme(text: string | null): text is Theme {
  return text !== null && Object.hasOwn(NEXT, text);
}

/** Takes the theme that was chosen last, and lets its button choose the next. */
export function startTheme(): void {
  const stored = localStorage.getItem(STORED);
  let theme: Theme = isTheme(stored) ? stored : "auto";
  const toggle = byId("theme");
  const show = (): void => {
    setAttribute(document.documentElement, "data-theme", theme);
    setAttribute(toggle, "aria-label", `Color theme: ${SAYS[theme]}. Switch to ${SAYS[NEXT[theme]]}.`);
    setAttribute(toggle, "title", `Color theme: ${SAYS[theme]}`);
  };
  toggle.addEventListener("click", () => {
    theme = NEXT[theme];
    localStorage.setItem(STORED, theme);
    show();
  });
  show();
}
