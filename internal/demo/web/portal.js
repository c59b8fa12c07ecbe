// The portal's pages come without comments, and without what their script adds: this is that script.
'use strict';

function element(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

// Comments are asked for when the page has loaded, so they come after its load event.
async function mountComments(mount) {
  let comments;
  try {
    const answer = await fetch(mount.dataset.comments, { headers: { Accept: 'application/json' } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    ({ comments } = await answer.json());
  } catch (failure) {
    mount.append(element('div', { class: 'comments-error', role: 'alert' }, 'Comments could not be loaded.'));
    return;
  }
  if (comments.length === 0) {
    mount.append(element('p', { class: 'none' }, 'No comments yet.'));
    return;
  }
  mount.append(element('div', { class: 'commentsList' }, ...comments.map((comment) => {
    const text = element('p', {}, comment.text);
    if (comment.requisition_id) {
      text.append(' ', element('a', { href: `/requisition_headers/${comment.requisition_id}` }, comment.requisition_id));
    }
    const files = comment.attachments.map((file) => element('li', { class: 'attachmentFile' },
      element('a', { href: file.url, target: '_blank', title: file.name }, file.name)));
    return element('article', { class: 'comment' },
      element('strong', {}, comment.author), text,
      element('div', { class: 'commentAttachments' }, ...(files.length ? [element('ul', { class: 'attachments__list' }, ...files)] : [])));
  })));
}

// The attachment's address is not in the page: the script asks for one that works once.
async function download(button) {
  const id = button.dataset.attachment;
  if (button.dataset.target) {
    window.open(`/blobs/${id}/file`, button.dataset.target);
    return;
  }
  const answer = await fetch(`/tickets/${id}`, { method: 'POST' });
  window.location.assign((await answer.json()).url);
}

// Beacons follow each other for ever: the network is never idle.
async function report(address) {
  for (;;) {
    try {
      await fetch(address, { mode: 'no-cors' });
    } catch (failure) {
      await new Promise((done) => { setTimeout(done, 2000); });
    }
  }
}

customElements.define('attachment-panel', class extends HTMLElement {
  connectedCallback() {
    const list = element('ul', {});
    for (const file of this.querySelectorAll('template')) {
      list.append(element('li', {}, element('a', { href: file.dataset.url }, file.dataset.name)));
    }
    this.attachShadow({ mode: 'open' }).append(list);
  }
});

for (const a of document.querySelectorAll('a.attachment-blob')) {
  const bytes = Uint8Array.from(atob(a.dataset.bytes), (c) => c.charCodeAt(0));
  a.href = URL.createObjectURL(new Blob([bytes], { type: 'application/octet-stream' }));
}
for (const button of document.querySelectorAll('.attachment-download')) {
  button.addEventListener('click', (event) => { event.preventDefault(); download(button); });
}
for (const file of document.querySelectorAll('.attachment-file[data-url]')) {
  file.addEventListener('click', () => window.location.assign(file.dataset.url));
}
window.addEventListener('load', () => {
  const mount = document.getElementById('s-mountCommentsApp');
  if (mount) mountComments(mount);
  if (document.body.dataset.analytics) report(document.body.dataset.analytics);
});
