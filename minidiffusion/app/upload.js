// Converts the file to a PNG of at most MAX_SIDE pixels a side before it is sent. What the browser cannot decode is not
// sent: the server gets an empty text and reports the error.
const input = element.querySelector('input');
input.addEventListener('change', async () => {
  const [file] = input.files;
  if (!file) return;
  try {
    const image = await createImageBitmap(file);
    const scale = Math.min(1, MAX_SIDE / Math.max(image.width, image.height));
    const canvas = document.createElement('canvas');
    canvas.width = Math.max(1, Math.round(image.width * scale));
    canvas.height = Math.max(1, Math.round(image.height * scale));
    canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
    trigger('upload', { picture: canvas.toDataURL('image/png') });
  } catch {
    trigger('upload', { picture: '' });
  }
  input.value = '';
});
