// Fills in the sign-in form and sends it, as a person would: the page's own scripts see the input.
(ask) => {
  "use strict";
  const first = (selector) => [...document.querySelectorAll(selector)].find((el) => el.checkVisibility() && !el.disabled);
  const enter = (selector, text) => {
    const el = first(selector);
    if (!el) return null;
    // The prototype's setter, for frameworks put one of their own on the element that ignores such changes.
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(el, text);
    el.dispatchEvent(new Event("input", { bubbles: true }));
    el.dispatchEvent(new Event("change", { bubbles: true }));
    return el;
  };
  const user = enter(ask.user_field, ask.user);
  const password = enter(ask.password_field, ask.password);
  window[Symbol.for("purser.sent")] = Boolean(password);
  const button = ask.submit ? first(ask.submit) : null;
  const form = (password || user).form;
  // After this script has returned, so that its answer is not cut off by the next page.
  setTimeout(() => {
    if (button) button.click();
    else if (form) form.requestSubmit();
  }, 0);
}
