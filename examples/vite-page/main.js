// A page whose worker makes an image; previews arrive as Blobs.
const image = document.querySelector('#image');
const state = document.querySelector('#state');
const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });

worker.onmessage = ({ data: { blob, progress, error } }) => {
  if (error) {
    state.textContent = error;
    return;
  }
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(blob);
  state.textContent = progress === 1 ? 'Finished' : `${Math.round(100 * progress)}%`;
};
worker.postMessage({ prompt: 'sneaker', seed: 1 });
