import { describe, expect, test } from "bun:test";
import { type Html, html } from "../../../src/lib/html.ts";

const text = (made: Html): string => made.toString();

describe("a template of HTML", () => {
  test("escapes what is put into it", () => {
    const evil = `<script>alert("1" & '2')</script>`;
    expect(text(html`<p title="${evil}">${evil}</p>`)).not.toContain("<script");
    expect(text(html`<p>${"<&>\"'`"}</p>`)).toBe("<p>&#60;&#38;&#62;&#34;&#39;&#96;</p>");
  });

  test("takes HTML that it has made itself as it is, alone and in lists", () => {
    const rows = ["a", "<b>"].map(name => html`<tr><td>${name}</td></tr>`);
    expect(text(html`<table>${rows}</table>`)).toBe("<table><tr><td>a</td></tr><tr><td>&#60;b&#62;</td></tr></table>");
    expect(text(html`${[["x", [1]], html`<br>`]}`)).toBe("x1<br>");
  });

  test("writes numbers and truths, and nothing for nothing", () => {
    expect(text(html`${0} ${1.5} ${false} ${undefined}${null}|`)).toBe("0 1.5 false |");
    expect(text(html`plain`)).toBe("plain");
  });

  test("is not fooled by what only looks like HTML of its own", () => {
    const forged = { toString: () => "<script>" };
    expect(text(html`${String(forged)}`)).toBe("&#60;script&#62;");
    expect(text(html`${html`${"<i>"}`.toString()}`)).toBe("&#38;#60;i&#38;#62;");
  });
});
