// Reads one page of a portal. It runs inside the page, in one evaluation, with what the profile asks as its argument: it waits
// until the page is ready, on changes of the page rather than by polling, and returns what the page is and has.
// question and answer in read.go are its argument and its result.
async (ask) => {
  "use strict";

  // What a page says, with all white space made one blank; plain() also evens out case and curly apostrophes.
  const clean = (s) => (s || "").normalize("NFC").replace(/[\u200b\ufeff]/g, "").replace(/\s+/g, " ").trim();
  const plain = (s) => clean(s).replace(/[\u2018\u2019]/g, "'").toLowerCase();

  const compiled = new Map();
  const regex = (pattern) => {
    if (!compiled.has(pattern)) compiled.set(pattern, new RegExp(pattern, "i"));
    return compiled.get(pattern);
  };
  const all = (root, selector) => {
    try {
      return [...root.querySelectorAll(selector)];
    } catch (e) {
      throw new Error(`the profile's selector ${JSON.stringify(selector)} is not valid CSS`);
    }
  };
  const isHTTP = (url) => url.protocol === "http:" || url.protocol === "https:";
  const resolve = (value, el) => {
    try {
      return new URL(value, el.baseURI);
    } catch (e) {
      return null;
    }
  };
  const origin = (url) => {
    const port = url.port || { "http:": "80", "https:": "443" }[url.protocol];
    return `${url.protocol}//${url.hostname}:${port}`;
  };
  const allowed = (url) => ask.origins.some((pattern) => regex(pattern).test(origin(url)));

  // value reads a text of an element as a profile's Text says: null when it is empty or does not match.
  const value = (el, text) => {
    const raw = clean(text.attribute ? el.getAttribute(text.attribute) : el.textContent);
    if (!text.pattern) return raw || null;
    const match = regex(text.pattern).exec(raw);
    return (match && clean(match.length > 1 ? match[1] : match[0])) || null;
  };
  const read = (root, text) => {
    for (const el of all(root, text.selector)) {
      const found = value(el, text);
      if (found !== null) return found;
    }
    return null;
  };

  const navigation = performance.getEntriesByType("navigation")[0];
  const status = () => ask.status || (navigation && navigation.responseStatus) || 0;

  // ---- What page is this? ----------------------------------------------------------------------------------------------

  const number = (s) => s.replace(/^(?:PO|PM)[\s#_-]*/i, "");

  // identify is the number that the page shows, by the rules that prove it to be of the kind that was asked for.
  const identify = () => {
    const numbers = [];
    for (const rule of ask.is) {
      const shown = read(document, rule);
      if (shown === null) return { reason: `nothing matches ${rule.selector}${rule.pattern ? " " + rule.pattern : ""}` };
      numbers.push(shown);
    }
    if (numbers.length === 0) return { reason: "" };
    if (new Set(numbers.map(number)).size > 1) return { reason: `the page contradicts itself: ${numbers.join(", ")}` };
    return { number: numbers[numbers.length - 1] };
  };

  // marker finds the first of the profile's markers that holds, as a text for a person; null when none does.
  const marker = (markers) => {
    let visible = null;
    for (const m of markers || []) {
      let reason = "";
      if (m.status) {
        if (status() !== m.status) continue;
        reason = `the portal answered ${m.status}`;
      }
      if (m.url) {
        const url = new URL(location.href);
        if (!regex(m.url).test(origin(url) === ask.origin ? url.pathname : url.href)) continue;
        reason = `the portal led to ${url.origin + url.pathname}`;
      }
      if (m.text) {
        if (visible === null) visible = plain(document.title + "\n" + (document.body ? document.body.innerText : ""));
        if (!visible.includes(plain(m.text))) continue;
        reason = `the page says "${m.text}"`;
      }
      if (m.selector) {
        const el = all(document, m.selector).find((el) => !m.pattern || regex(m.pattern).test(clean(el.textContent)));
        if (!el) continue;
        reason = m.pattern ? `the page says "${clean(el.textContent).slice(0, 200)}"` : `the page has ${m.selector}`;
      }
      return reason;
    }
    return null;
  };

  // form looks for the sign-in form, or for what the portal says to one that was sent.
  const form = () => {
    const refused = ask.form.sent ? marker(ask.form.refused) : null;
    if (refused !== null) return { kind: "refused", reason: refused };
    const has = (selector) => all(document, selector).some((el) => el.checkVisibility() && !el.disabled);
    const fields = { user: has(ask.form.user), password: has(ask.form.password) };
    if ((fields.user || fields.password) && !window[Symbol.for("purser.sent")]) return { kind: "form", fields };
    return { kind: "unknown", reason: "neither the sign-in form nor a sign of being signed in" };
  };

  const judge = () => {
    const who = identify();
    if (who.number !== undefined) {
      const mine = number(who.number) === ask.wanted;
      const reason = mine ? "" : `the page shows ${who.number}, ${ask.wanted} was asked for`;
      return { kind: mine ? ask.kind : "other", number: who.number, reason };
    }
    const signedIn = ask.signed_in ? marker(ask.signed_in) : null;
    if (signedIn !== null) return { kind: "signed-in", reason: signedIn };
    if (ask.form) return form();
    const here = new URL(location.href);
    if (isHTTP(here) && !allowed(here)) return { kind: "sign-in", reason: `the portal led to ${here.origin}` };
    for (const [kind, markers] of Object.entries({
      "sign-in": ask.markers.sign_in,
      "not-found": ask.markers.not_found,
      "no-access": ask.markers.no_access,
      error: ask.markers.error,
    })) {
      const reason = marker(markers);
      if (reason !== null) return { kind, reason };
    }
    return { kind: "unknown", reason: who.reason };
  };

  // ---- Is it ready? ----------------------------------------------------------------------------------------------------

  const problems = { incomplete: [], unreadable: [] };
  const now = () => performance.now();
  const requests = new Map(); // URL of a script's request → its HTTP status, 0 when it failed
  const changed = new Map(); // late part → when it changed last
  const filled = new Map(); // late part → when it was first seen filled
  let due = Infinity; // when to look again, though nothing changed
  const wait = (until) => {
    due = Math.min(due, until);
    return false;
  };

  // roots are the document, its open shadow roots and the frames that can be read, each with its frame's URL and the elements
  // that it hangs on, from the document inwards.
  const roots = () => {
    const found = [];
    const lost = []; // frames that ought to be readable
    let loading = false;
    const frame = (el, hosts) => {
      const src = el.getAttribute("src") ? resolve(el.getAttribute("src"), el) : null;
      if (src && !(isHTTP(src) && allowed(src))) return; // blank, or an advertisement of a foreign host
      if (src && ask.attachments.some((rule) => rule.file && regex(rule.file).test(src.href))) return; // a preview of a file
      if (el.loading === "lazy") el.loading = "eager"; // nobody will scroll to it
      const doc = el.contentDocument;
      if (!doc) {
        if (src) lost.push(`the frame ${src.pathname} cannot be read`);
        return;
      }
      if ((src && doc.URL === "about:blank") || doc.readyState !== "complete") {
        loading = true;
        return;
      }
      const entry = doc.defaultView.performance.getEntriesByType("navigation")[0];
      if (entry && entry.responseStatus >= 400) lost.push(`the frame ${src ? src.pathname : ""} answered ${entry.responseStatus}`);
      visit(doc, doc.URL, hosts);
    };
    const visit = (root, url, hosts) => {
      found.push({ root, frame: url, hosts });
      for (const el of root.querySelectorAll("*")) {
        if (el.shadowRoot) visit(el.shadowRoot, url, [...hosts, el]);
        if (el.localName === "iframe" || el.localName === "frame") frame(el, [...hosts, el]);
      }
    };
    visit(document, "", []);
    return { found, lost, loading };
  };

  const inside = (el, selector) => [el, ...(el.shadowRoot ? [el.shadowRoot] : [])].some((root) => all(root, selector).length > 0);

  // late tells whether a part that a script fills in stands there, and why it never will.
  const late = (part, loadedAt) => {
    const give = (list, text) => {
      list.push(text);
      return true;
    };
    const el = all(document, part.selector)[0];
    if (!el) {
      if (part.optional) return true;
      if (now() < loadedAt + ask.unknown_after) return wait(loadedAt + ask.unknown_after);
      return give(problems.unreadable, `the page has no place for its ${part.name} (${part.selector})`);
    }
    const failed = [...requests].find(([url, code]) => part.requests && regex(part.requests).test(url) && (code === 0 || code >= 400));
    if (failed) {
      const rest = (changed.get(part) || 0) + part.settle; // the page's script may try again
      if (now() < rest) return wait(rest);
      return give(problems.incomplete, `the ${part.name} did not load (${failed[1] ? "HTTP " + failed[1] : "network error"})`);
    }
    if (part.failed && inside(el, part.failed)) return give(problems.incomplete, `the ${part.name} did not load`);

    const there = el.childElementCount > 0 || (el.shadowRoot && el.shadowRoot.childElementCount > 0);
    if (!there || (part.busy && inside(el, part.busy))) {
      filled.delete(part);
      if (now() < part.timeout) return wait(part.timeout);
      return give(problems.incomplete, `the ${part.name} did not load within ${part.timeout / 1000} s`);
    }
    if (!filled.has(part)) filled.set(part, now());
    const rest = Math.max(changed.get(part) || 0, filled.get(part)) + part.settle;
    const enough = filled.get(part) + 20 * part.settle; // a part that never comes to rest (a clock, say) is read anyway
    if (now() < Math.min(rest, enough)) return wait(Math.min(rest, enough));
    return true;
  };

  // ready is the page's judgement once it is final, and null before.
  const ready = () => {
    due = Infinity;
    problems.incomplete.length = problems.unreadable.length = 0;
    const parsed = document.readyState === "complete" || (navigation && navigation.domContentLoadedEventEnd > 0);
    if (!parsed) return null;
    const judgement = judge();
    const harvest = judgement.kind === ask.kind && judgement.kind !== "signed-in";
    if (judgement.kind !== "unknown" && !harvest) return judgement;

    // A picture or a beacon that never loads keeps the page from completing: it is waited for, but not for long.
    const parsedAt = (navigation && navigation.domContentLoadedEventEnd) || 0;
    let loadedAt = parsedAt + ask.load_grace;
    if (document.readyState === "complete") loadedAt = Math.min(loadedAt, (navigation && navigation.loadEventStart) || parsedAt);
    if (judgement.kind === "unknown") {
      if (now() < loadedAt + ask.unknown_after) return wait(loadedAt + ask.unknown_after) || null;
      return judgement;
    }
    if (now() < loadedAt) return wait(loadedAt) || null;
    // Each part is asked, so that all of them are watched at once.
    if (!ask.late.map((part) => late(part, loadedAt)).every(Boolean)) return null;
    const { found, loading } = roots();
    found.forEach(({ root }) => observe(root));
    if (loading) {
      if (now() < loadedAt + ask.frame_timeout) return wait(loadedAt + ask.frame_timeout) || null;
      problems.incomplete.push("a frame did not load");
    }
    return judgement;
  };

  const observed = new WeakSet();
  let observe = () => {};
  const settled = () =>
    new Promise((done, fail) => {
      let planned = 0;
      let plannedFor = Infinity;
      const plan = (at) => {
        if (at >= plannedFor) return;
        clearTimeout(planned);
        plannedFor = at;
        planned = setTimeout(look, Math.max(0, at - now()));
      };
      const soon = () => plan(now() + 5); // many changes come at once: one look is enough
      const mutations = new MutationObserver((records) => {
        for (const part of ask.late) {
          const el = document.querySelector(part.selector);
          if (el && records.some((r) => el.contains(r.target) || r.target.getRootNode() !== document)) changed.set(part, now());
        }
        soon();
      });
      const resources = new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
          if (entry.initiatorType !== "xmlhttprequest" && entry.initiatorType !== "fetch") continue;
          const url = new URL(entry.name);
          url.searchParams.delete("_"); // a second try often adds the time
          requests.set(url.href, entry.responseStatus);
          ask.late.filter((part) => part.requests && regex(part.requests).test(url.href)).forEach((part) => changed.set(part, now()));
        }
        soon();
      });
      observe = (root) => {
        if (observed.has(root)) return;
        observed.add(root);
        mutations.observe(root, { subtree: true, childList: true, attributes: true, characterData: true });
        root.addEventListener("load", soon, true); // of frames
      };
      const end = (settle, result) => {
        clearTimeout(planned);
        mutations.disconnect();
        resources.disconnect();
        for (const type of ["DOMContentLoaded", "load"]) removeEventListener(type, soon, true);
        settle(result);
      };
      const look = () => {
        plannedFor = Infinity;
        try {
          const judgement = ready();
          if (judgement) return end(done, judgement);
          if (due < Infinity) plan(due + 1);
        } catch (e) {
          end(fail, e);
        }
      };
      observe(document);
      resources.observe({ type: "resource", buffered: true });
      for (const type of ["DOMContentLoaded", "load"]) addEventListener(type, soon, true);
      soon();
    });

  // ---- What does it have? ----------------------------------------------------------------------------------------------

  // Elements to click are kept here, so that a click hits exactly the element that was found, or says that it is gone.
  const clicks = (window[Symbol.for("purser.clicks")] = []);

  const attachments = () => {
    const { found, lost } = roots();
    problems.incomplete.push(...lost);
    const byURL = new Map();
    const byElement = new Map();
    const list = [];
    const count = new Map(); // rule's name → attachments, those that repeat another one among them

    const add = (rule, el, place, attachment) => {
      count.set(rule.name, (count.get(rule.name) || 0) + 1);
      const known = (attachment.url && byURL.get(attachment.url)) || byElement.get(el);
      if (known) {
        known.label = known.label || attachment.label;
        return;
      }
      if (attachment.url) byURL.set(attachment.url, attachment);
      byElement.set(el, attachment);
      list.push({ attachment, path: [...place.hosts, el] });
    };

    // label is the best name that the link has: one that looks like a file's, else the first there is.
    const label = (rule, link) => {
      const labels = [];
      for (const text of rule.label) {
        const from = text.selector ? all(link, text.selector) : [link];
        labels.push(...from.map((el) => value(el, text)).filter((s) => s !== null));
      }
      return labels.find((s) => /\.[a-z0-9]{1,5}$/i.test(s)) || labels[0] || "";
    };

    // names are all that the link may call itself.
    const names = (link) => ["title", "aria-label"].map((attribute) => clean(link.getAttribute(attribute))).concat(clean(link.textContent));

    // address is what the link leads to: a file, another page, or nothing that could be fetched (blob:, a script). An address
    // that must not be fetched (file:, another host) is an address all the same: it is refused later, and said to be.
    const address = (rule, link) => {
      let elsewhere = false;
      for (const attribute of rule.url) {
        const raw = (link.getAttribute(attribute) || "").trim();
        const url = raw && !raw.startsWith("#") ? resolve(raw, link) : null;
        if (!url || ["blob:", "data:", "javascript:", "about:"].includes(url.protocol)) continue;
        url.hash = "";
        if (!rule.file || regex(rule.file).test(url.href)) return { url: url.href };
        elsewhere = true;
      }
      return { elsewhere };
    };

    // take reads one link, and tells whether it is an attachment, none ("ignored"), or unreadable ("").
    const take = (rule, link, place) => {
      if (rule.except && link.closest(rule.except)) return "ignored";
      const name = label(rule, link);
      if (rule.ignore && [name, ...names(link)].some((s) => regex(rule.ignore).test(s))) return "ignored";
      const { url, elsewhere } = address(rule, link);
      if (url) {
        add(rule, link, place, { url, label: name, rule: rule.name, frame: place.frame });
        return "taken";
      }
      const button = rule.click && [link, ...all(link, rule.click)].find((el) => el.matches(rule.click));
      if (elsewhere || !button) return "";
      // The button of an attachment whose address another rule has read is no second attachment.
      const known = [...byElement.keys()].find((el) => el.contains(button) || button.contains(el));
      if (!known) add(rule, button, place, { click: clicks.push(button) - 1, label: name, rule: rule.name, frame: place.frame });
      return "taken";
    };

    for (const rule of ask.attachments) {
      let unread = 0;
      for (const place of found) {
        if (!rule.within) {
          all(place.root, rule.link).forEach((link) => take(rule, link, place));
          continue;
        }
        for (const item of all(place.root, rule.within)) {
          const links = [...(item.matches(rule.link) ? [item] : []), ...all(item, rule.link)];
          const taken = links.map((link) => take(rule, link, place));
          const ignored = (rule.except && item.closest(rule.except)) || (rule.ignore && names(item).some((s) => regex(rule.ignore).test(s)));
          if (!ignored && !taken.includes("taken") && !(taken.length > 0 && taken.every((t) => t === "ignored"))) unread++;
        }
      }
      if (unread > 0) problems.unreadable.push(`${unread} in the ${rule.name} cannot be read`);
    }

    for (const mention of ask.mentions) {
      const rules = mention.rules && mention.rules.length > 0 ? mention.rules : [...count.keys()];
      const have = rules.reduce((sum, name) => sum + (count.get(name) || 0), 0);
      let said = 0;
      for (const { root } of found) {
        for (const el of all(root, mention.selector)) {
          const shown = mention.pattern ? regex(mention.pattern).exec(clean(el.textContent)) : [""];
          if (shown) said = Math.max(said, shown.length > 1 ? parseInt(shown[1], 10) || 0 : 1);
        }
      }
      if (said > have) problems.unreadable.push(`${mention.name}: the page speaks of ${said}, ${have} could be read`);
    }
    // In the order in which the page shows them.
    const before = (a, b) => {
      const i = a.findIndex((el, i) => el !== b[i]);
      return i < 0 || !b[i] ? 0 : a[i].compareDocumentPosition(b[i]) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1;
    };
    return list.sort((a, b) => before(a.path, b.path)).map(({ attachment }) => attachment);
  };

  const requisitions = () => {
    const links = new Map();
    for (const text of ask.requisition_links) {
      for (const el of all(document, text.selector)) {
        const raw = el.getAttribute(text.attribute);
        const url = raw && resolve(raw, el);
        const match = url && isHTTP(url) && allowed(url) && regex(text.pattern).exec(url.href);
        if (match) links.set(match[1], { id: match[1], url: url.href });
      }
    }
    return [...links.values()];
  };

  // ------------------------------------------------------------------------------------------------------------------------

  const judgement = await settled();
  const answer = { ...judgement, url: location.href, title: clean(document.title), status: status() };
  if (judgement.kind === ask.kind) {
    answer.attachments = attachments();
    answer.requisitions = requisitions();
    for (const text of ask.supplier) answer.supplier = answer.supplier || read(document, text) || "";
  }
  answer.incomplete = problems.incomplete.join("; ");
  answer.unreadable = problems.unreadable.join("; ");
  return answer;
}
