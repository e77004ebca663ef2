// A route that streams an image as it grows, as server-sent events; and the whole API under /ai.
import { serve } from '@hono/node-server';
import { open } from 'acdit';
import { acditApp } from 'acdit/server';
import { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';

// In a separate process, so that the server stays responsive.
const acdit = await open('fashion-mnist', { process: true });

const app = new Hono();
app.route('/ai', acditApp({ models: ['fashion-mnist'] }));
app.get('/stream/:prompt', (c) =>
  streamSSE(c, async (stream) => {
    const { signal } = c.req.raw; // the work stops when the client leaves
    for await (const { samples, progress } of acdit.stream(c.req.param('prompt'), { signal })) {
      const image = Buffer.from(await samples[0].toBuffer('webp')).toString('base64');
      await stream.writeSSE({ event: 'image', data: JSON.stringify({ progress, image }) });
    }
  }),
);

const port = Number(process.env.PORT ?? 3000);
serve({ fetch: app.fetch, port }, (address) => console.log(`http://localhost:${address.port}/stream/bag`));
