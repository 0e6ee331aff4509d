// Runs once for each part of the page that can be clicked. A click on [data-do] is told to the server; one on [data-copy]
// puts its text on the clipboard.
element.addEventListener('click', (event) => {
  const target = event.target.closest('[data-do], [data-copy]');
  if (!target) return;
  if (target.dataset.copy) {
    navigator.clipboard.writeText(target.dataset.copy);
    target.textContent = 'copied';
    setTimeout(() => { target.textContent = 'copy'; }, 1500);
  } else {
    trigger('select', { ...target.dataset });
  }
});
