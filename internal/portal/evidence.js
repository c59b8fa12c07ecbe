// Returns the page's HTML without tokens and what was entered, the page's size, and its pixels' density. Its scripts are kept to be
// read, and do not run when somebody opens the evidence.
(() => {
  "use strict";
  const copy = document.documentElement.cloneNode(true);
  for (const el of copy.querySelectorAll("script")) el.setAttribute("type", "text/plain");
  for (const el of copy.querySelectorAll('meta[name*="csrf" i], meta[name*="token" i], meta[name*="nonce" i]')) el.setAttribute("content", "REMOVED");
  for (const el of copy.querySelectorAll('input[type="hidden"], input[type="password"]')) el.setAttribute("value", "REMOVED");
  for (const el of copy.querySelectorAll("[nonce]")) el.setAttribute("nonce", "REMOVED");
  const { scrollWidth, scrollHeight } = document.documentElement;
  return { HTML: "<!DOCTYPE html>\n" + copy.outerHTML, Width: scrollWidth, Height: scrollHeight, Resolution: devicePixelRatio };
})()
