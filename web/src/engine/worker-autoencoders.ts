/** @file Autoencoders in the worker: one is compiled at a time, and decodes one thing after the other. */

import {
  ArgumentError,
  type Autoencoder,
  autoencoderFingerprint,
  createAutoencoder,
  type Device,
  framesOf,
  latentsToImages,
  type NamedBlob,
  openAutoencoderFiles,
  requireDecodingMemory,
  type StoredAutoencoder,
} from '../../../src/browser/index.ts';
import type { Image } from '../../../src/media/pixels.ts';
import { type Transferred, transferred } from '../../../src/remote/index.ts';
import { tensorOf } from '../model/values.ts';
import type { DecodeCall, DeviceChoice, OpenedAutoencoder } from './protocol.ts';

export function createAutoencoders(openDevice: (choice: DeviceChoice) => Promise<Device>) {
  const stored = new Map<string, StoredAutoencoder>();
  let compiled: { readonly key: string; readonly autoencoder: Autoencoder } | undefined;
  let last: Promise<unknown> = Promise.resolve();

  async function compile(id: string, device: Device, signal: AbortSignal): Promise<Autoencoder> {
    const key = `${id} ${device.name}`;
    if (compiled?.key === key) return compiled.autoencoder;
    const open = storedOf(id);
    await compiled?.autoencoder.dispose();
    compiled = undefined;
    const autoencoder = await createAutoencoder({ ...open, device, parts: ['decoder'], signal });
    compiled = { key, autoencoder };
    return autoencoder;
  }

  function storedOf(id: string): StoredAutoencoder {
    const open = stored.get(id);
    if (!open) throw new ArgumentError('the autoencoder is not here any more; give it again');
    return open;
  }

  return {
    /** @throws {AcditError} if the files are not an autoencoder. Reads its encoder, to recognise it. */
    async open(id: string, files: readonly NamedBlob[]): Promise<OpenedAutoencoder> {
      const open = await openAutoencoderFiles(files);
      const fingerprint = await autoencoderFingerprint(open);
      stored.set(id, open);
      return { kind: 'autoencoder', config: open.config, fingerprint };
    },

    async decode(call: DecodeCall, signal: AbortSignal): Promise<Transferred<readonly Image[]>> {
      const { id, config, values, device: choice } = call;
      requireDecodingMemory(config, storedOf(id).config);
      const work = last.then(async () => {
        signal.throwIfAborted();
        const autoencoder = await compile(id, await openDevice(choice), signal);
        return latentsToImages(autoencoder, config, tensorOf(config, values), { signal });
      });
      last = work.catch(() => {});
      const [images = []] = framesOf(await work);
      return transferred(
        images,
        images.map(({ data }) => data),
      );
    },
  };
}
