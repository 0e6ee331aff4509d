// A picture from this computer becomes a PNG of at most LARGEST pixels a side before it is sent. What the browser cannot
// show is not sent at all: the server gets an empty text and says so.
const input = element.querySelector('input');
input.addEventListener('change', async () => {
  const [file] = input.files;
  if (!file) return;
  try {
    const image = await createImageBitmap(file);
    const scale = Math.min(1, LARGEST / Math.max(image.width, image.height));
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
