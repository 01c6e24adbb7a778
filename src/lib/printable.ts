/**
 * Characters that a terminal or a reader may obey instead of show: DEL and the C1 controls (U+007F–U+009F), the marks
 * that turn the direction of text (Unicode UAX #9), and the two line separators that some viewers break lines at.
 */
const UNSAFE = /[\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
const EACH_UNSAFE = new RegExp(UNSAFE, "g");

/** A JSON text in which these characters are escaped as `\uXXXX`; the value that it stands for is the same. */
export function safeJson(text: string): string {
  return UNSAFE.test(text) ? text.replace(EACH_UNSAFE, escaped) : text;
}

const EACH_CONTROL = new RegExp(`[\\u0000-\\u001f]|${UNSAFE.source}`, "g");

/** A text on one line of a terminal: runs of white space are one space, every other control character is escaped. */
export function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").replace(EACH_CONTROL, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
