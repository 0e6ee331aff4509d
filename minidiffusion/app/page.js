// Runs once for each clickable component. A click on [data-click] sends the element's data attributes to the server, one
// on [data-copy] copies its text to the clipboard.
element.addEventListener('click', (event) => {
  const target = event.target.closest('[data-click], [data-copy]');
  if (!target) return;
  if (target.dataset.copy) {
    navigator.clipboard.writeText(target.dataset.copy);
    target.textContent = 'copied';
    setTimeout(() => { target.textContent = 'copy'; }, 1500);
  } else {
    trigger('select', { ...target.dataset });
  }
});
