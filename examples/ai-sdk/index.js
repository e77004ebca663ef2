// The AI SDK with a server in the same program. For a server elsewhere, give `baseURL` instead of `fetch`.
import { writeFile } from 'node:fs/promises';
import { createAcdit } from 'acdit/ai-sdk';
import { acditApp } from 'acdit/server';
import { generateImage } from 'ai';

const server = acditApp({ models: ['fashion-mnist'] });
const acdit = createAcdit({ fetch: async (url, init) => server.fetch(new Request(url, init)) });

const { image } = await generateImage({ model: acdit('fashion-mnist'), prompt: 'sneaker', seed: 1 });
await writeFile('sneaker.png', image.uint8Array);
await server.dispose();
