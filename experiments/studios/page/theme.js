/** Dark or light: as the system has it, or as the visitor says. */

import { find, icon } from "./dom.js";

const KEY = "studio-theme";
const THEMES = /** @type {const} */ (["auto", "light", "dark"]);
const SAYS = {
  auto: "Colours of the page: as the system",
  light: "Colours of the page: light",
  dark: "Colours of the page: dark",
};

/** Makes the switch. */
export function prepareTheme() {
  const button = find("theme", HTMLButtonElement);
  /** @param {(typeof THEMES)[number]} theme */
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.replaceChildren(icon(theme));
    button.setAttribute("aria-label", SAYS[theme]);
    button.title = SAYS[theme];
    sessionStorage.setItem(KEY, theme);
  };
  show(THEMES.find((theme) => theme === sessionStorage.getItem(KEY)) ?? "auto");
  button.addEventListener("click", () => {
    const now = THEMES.findIndex((theme) => theme === document.documentElement.dataset.theme);
    show(THEMES[(now + 1) % THEMES.length] ?? "auto");
  });
}
