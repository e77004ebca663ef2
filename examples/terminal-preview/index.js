// An image that grows in the terminal, in half blocks: two pixels per character.
import { open } from 'acdit';

const [prompt = 'bag'] = process.argv.slice(2);
const acdit = await open('fashion-mnist');
const { isTTY } = process.stdout;

function draw({ width, height, channels, data }) {
  const shade = (x, y) => data[(y * width + x) * channels];
  const grey = (value) => `${value};${value};${value}`;
  const lines = [];
  for (let y = 0; y < height; y += 2) {
    const cells = Array.from(
      { length: width },
      (_, x) => `\x1b[38;2;${grey(shade(x, y))};48;2;${grey(shade(x, y + 1))}m▀`,
    );
    lines.push(`${cells.join('')}\x1b[0m`);
  }
  return lines;
}

let above = 0;
for await (const { samples, progress } of acdit.stream(prompt, { seed: 1 })) {
  const lines = [...draw(samples[0].frames[0]), `${samples[0].name} ${Math.round(100 * progress)}%`];
  if (isTTY && above > 0) process.stdout.write(`\x1b[${above}A`);
  process.stdout.write(`${lines.join('\n')}\n`);
  above = lines.length;
}
