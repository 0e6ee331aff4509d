// A brush for the canvas over the picture, which has as many pixels as the picture. What is painted on it is the mask; the
// page reads it as a PNG when the region is repainted.
let painting = false;
const paint = (event) => {
  const canvas = element.querySelector('canvas');
  if (!painting || event.target !== canvas) return;
  const box = canvas.getBoundingClientRect();
  const brush = canvas.getContext('2d');
  brush.fillStyle = 'white';
  brush.beginPath();
  brush.arc((event.clientX - box.left) * canvas.width / box.width,
            (event.clientY - box.top) * canvas.height / box.height, canvas.width / 12, 0, 2 * Math.PI);
  brush.fill();
};
element.addEventListener('pointerdown', (event) => { painting = true; paint(event); });
element.addEventListener('pointermove', paint);
window.addEventListener('pointerup', () => { painting = false; });
