/** Clips of other lengths than the model's own: as the sampler and `acdit sample` make them. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BufferSource, EncodedPacketSink, Input, MP4 } from 'mediabunny';
import { afterAll, describe, expect, it } from 'vitest';
import { openCpu } from '../../src/runtime/node.ts';
import { createSampler, finalLatents, type SampleRequest } from '../../src/sampling/sampler.ts';
import { type StreamEvent, streamEventSchema, type Video, videoSchema } from '../../src/server/api.ts';
import { decodeTensor, encodeTensor } from '../../src/server/pictures.ts';
import { sliceAxis } from '../../src/tensor/axes.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { runInProcess } from '../support/cli.ts';
import { formulaWeights } from '../support/formula-weights.ts';
import { relativeError } from '../support/golden.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { tinyClips } from '../support/tiny-config.ts';
import { saveTiny } from '../support/tiny-model.ts';
import { errorOf, eventsOf, tinyServer } from '../support/tiny-server.ts';

const server = await tinyServer({ limits: { videos: 100 } });
const VIDEOS = '/v1/videos';
const STREAM = '/v1/acdit/stream';

/** Samples one request at a time. */
const device = openCpu({ threads: 1 });
const sampler = await createSampler({ config: tinyClips, weights: formulaWeights(tinyClips), device });
afterAll(() => device.dispose());

const alone = (request: SampleRequest) => finalLatents(sampler.sample(request));

async function ask(body: object = {}, { post } = server): Promise<Video> {
  const response = await post(VIDEOS, { prompt: '1', model: 'clips', steps: 2, ...body });
  expect(response.status).toBe(200);
  return videoSchema.parse(await response.json());
}

async function states(id: string): Promise<Video[]> {
  const seen: Video[] = [];
  for (;;) {
    const video = videoSchema.parse(await (await server.get(`${VIDEOS}/${id}`)).json());
    seen.push(video);
    if (video.status === 'completed' || video.status === 'failed') return seen;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Compressed frames and their times, without the date that a file holds as well. */
async function packetsOf(file: Uint8Array): Promise<[seconds: number, data: string][]> {
  const input = new Input({ source: new BufferSource(file), formats: [MP4] });
  const track = await input.getPrimaryVideoTrack();
  const packets: [number, string][] = [];
  for await (const { timestamp, data } of new EncodedPacketSink(track!).packets()) {
    packets.push([timestamp, Buffer.from(data).toString('base64')]);
  }
  return packets;
}

async function streamOf(body: object): Promise<StreamEvent[]> {
  const response = await server.post(STREAM, { model: 'clips', latents: true, ...body });
  expect(response.status).toBe(200);
  return (await eventsOf<StreamEvent>(response)).map((event) => streamEventSchema.parse(event));
}

function of<T extends StreamEvent['type']>(events: readonly StreamEvent[], type: T) {
  return events.filter((event): event is StreamEvent & { type: T } => event.type === type);
}

function latentsOf(events: readonly StreamEvent[]): Tensor<'float32'> {
  return decodeTensor(of(events, 'done')[0].latents!, 'test');
}

describe('a long clip', () => {
  it('is the file that acdit sample writes', async () => {
    const folder = temporaryFolder();
    const model = await saveTiny(join(folder, 'model'), tinyClips);
    const length = ['--blocks', '9', '--window', '2'];
    const args = [...length, '--labels', '1', '--steps', '2', '--seed', '3', '--threads', '1', '--json'];
    const { stdout } = await runInProcess(['sample', model, '--out', join(folder, 'out'), ...args]);
    const { samples, untrained } = JSON.parse(stdout);

    const video = await ask({ blocks: 9, window: 2, seed: 3 });
    expect(video).toMatchObject({ blocks: 9, seconds: '4.5', untrained });
    expect((await states(video.id)).at(-1)).toMatchObject({ status: 'completed', untrained });
    const content = await server.get(`${VIDEOS}/${video.id}/content`);
    const packets = await packetsOf(new Uint8Array(await content.arrayBuffer()));
    expect(packets).toHaveLength(18);
    expect(packets).toEqual(await packetsOf(readFileSync(samples[0].file)));
  });

  it('tells how far it is of all its blocks', async () => {
    const { id } = await ask({ blocks: 12, steps: 20 });
    const progress = (await states(id)).map((video) => video.progress);
    expect(progress.at(-1)).toBe(100);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    const underway = progress.filter((value) => value > 0 && value < 100);
    expect(underway.length).toBeGreaterThan(0);
  });

  it('is streamed block by block, and marked', async () => {
    const events = await streamOf({ prompt: ['0', '1', '2', '0', '1', '2'], blocks: 6, steps: 3, seed: 5 });
    expect(of(events, 'started')[0]).toMatchObject({
      blocks: 6,
      frames: 12,
      total_steps: 18,
      untrained: expect.stringContaining('not trained for'),
    });
    expect(of(events, 'step').map(({ done, total }) => [done, total])).toEqual(
      Array.from({ length: 18 }, (_, i) => [i + 1, 18]),
    );
    const frames = of(events, 'block').map(({ first_frame, images }) => [first_frame, images![0].length]);
    expect(frames).toEqual([0, 2, 4, 6, 8, 10].map((first) => [first, 2]));
    const expected = await alone({ labels: [[0, 1, 2, 0, 1, 2]], blocks: 6, steps: 3, seed: 5 });
    expect(relativeError(latentsOf(events), expected)).toBeLessThan(1e-5);
  });

  it('is what it is alone, whatever other lengths are made meanwhile', async () => {
    const lengths = [{ blocks: 9 }, { blocks: 12, window: 1 }, {}, { blocks: 2 }, { blocks: 7, window: 2 }];
    const answers = await Promise.all(
      lengths.map((length, seed) => streamOf({ prompt: seed % 3, steps: 2 + seed, seed, ...length })),
    );
    for (const [seed, length] of lengths.entries()) {
      const expected = await alone({ labels: [seed % 3], steps: 2 + seed, seed, ...length });
      expect(relativeError(latentsOf(answers[seed]), expected)).toBeLessThan(1e-5);
    }
  });

  it('continues more blocks than were trained', async () => {
    const request = { prompt: '2', blocks: 8, steps: 2, seed: 6, output_format: 'none' };
    const whole = latentsOf(await streamOf(request));
    const events = await streamOf({ ...request, given: encodeTensor(sliceAxis(whole, 1, 0, 6)) });
    expect(of(events, 'step')).toHaveLength(4);
    expect(relativeError(latentsOf(events), whole)).toBeLessThan(1e-5);
  });
});

describe('the length of a clip', () => {
  it.each([
    [{}, { blocks: 4, seconds: '2' }],
    [
      { seconds: '5', fps: 2 },
      { blocks: 5, seconds: '5' },
    ],
    [{ seconds: 2.4 }, { blocks: 5, seconds: '2.5' }],
    [{ seconds: 0.5 }, { blocks: 1, seconds: '0.5' }],
    [
      { blocks: 3, fps: 3 },
      { blocks: 3, seconds: '2' },
    ],
  ])('%j', async (body, expected) => {
    expect(await ask(body)).toMatchObject({ ...expected, untrained: expected.blocks > 4 ? /./ : null });
  });

  it('may be told as a shorter window, which is as untrained', async () => {
    expect((await ask({ window: 2 })).untrained).toContain('not trained for');
    expect((await ask({ window: 2, blocks: 3 })).untrained).toBeNull();
  });

  it("has a limit of the server's, but never below the model's own", async () => {
    const other = await tinyServer({ limits: { blocks: 1 } });
    expect(await ask({}, other)).toMatchObject({ blocks: 4 });
    expect(await ask({ blocks: 4 }, other)).toMatchObject({ blocks: 4 });
    const refused = await other.post(VIDEOS, { prompt: '1', model: 'clips', blocks: 5 });
    expect(refused.status).toBe(400);
    expect((await errorOf(refused)).message).toMatch(/at most 4 blocks here, got 5/);
    other.close();
  });

  const clips = (body: object) => ({ prompt: '1', model: 'clips', ...body });
  const pictures = { prompt: '1', model: 'pictures' };
  it.each<[string, string, object, string, RegExp]>([
    ['no blocks', VIDEOS, clips({ blocks: 0 }), 'blocks', />=1/],
    ['part of a block', VIDEOS, clips({ blocks: 1.5 }), 'blocks', /int/],
    ['too many blocks', VIDEOS, clips({ blocks: 13 }), 'blocks', /at most 12 blocks here, got 13/],
    ['too many blocks to stream', STREAM, clips({ blocks: 13 }), 'blocks', /at most 12 blocks here, got 13/],
    ['a picture of more blocks', STREAM, { ...pictures, blocks: 5 }, 'blocks', /has 4 blocks, got 5/],
    ['blocks of pictures', '/v1/images/generations', { ...pictures, blocks: 4 }, 'blocks', /unknown field/],
    ['no window', VIDEOS, clips({ window: 0 }), 'window', />=1/],
    ['a window beyond training', STREAM, clips({ blocks: 9, window: 4 }), 'window', /1 to 3, .*got 4/],
    ['no time', VIDEOS, clips({ seconds: 0 }), 'seconds', /above 0/],
    ['time that is no number', VIDEOS, clips({ seconds: 'long' }), 'seconds', /number above 0/],
    ['time of another type', VIDEOS, clips({ seconds: true }), 'seconds', /expected number/],
    ['less than a block', VIDEOS, clips({ seconds: '0.3' }), 'seconds', /1 frames .* at least 2/],
    ['more time than may be', VIDEOS, clips({ seconds: 60 }), 'seconds', /at most 12 blocks here, got 120/],
    ['two lengths', VIDEOS, clips({ seconds: 2, blocks: 4 }), 'seconds', /one of them/],
    ['seconds of a stream', STREAM, clips({ seconds: 2 }), 'seconds', /unknown field/],
    ['classes of another length', VIDEOS, clips({ prompt: [1, 2, 0, 1], blocks: 6 }), 'prompt', /6 blocks/],
    ['steps of another length', STREAM, clips({ steps: [1, 2, 3, 4], blocks: 6 }), 'steps', /6 blocks/],
  ])('is refused: %s', async (_, path, body, param, message) => {
    const response = await server.post(path, body);
    expect(response.status).toBe(400);
    const error = await errorOf(response);
    expect(error).toMatchObject({ type: 'invalid_request_error', param });
    expect(error.message).toMatch(message);
  });
});
