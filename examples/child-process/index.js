// Sampling in a child process, so that this one stays responsive.
import { open } from 'acdit';

const acdit = await open('fashion-mnist', { process: true });
let ticks = 0;
const timer = setInterval(() => ticks++, 10);
const started = performance.now();
const images = await acdit.generate(['sneaker', 'bag'], { count: 2, seed: 1 });
clearInterval(timer);
for (const image of images) await image.save(`${image.name.toLowerCase()}-${image.number}.png`);
console.log(`${images.length} images; ${ticks} ticks in ${Math.round(performance.now() - started)} ms`);
await acdit.dispose();
