// An image in three lines.
import { open } from 'acdit';

const acdit = await open('fashion-mnist');
const [image] = await acdit.generate('sneaker', { seed: 1 });
await image.save('sneaker.png');
