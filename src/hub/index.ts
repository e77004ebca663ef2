/**
 * @file Models of the Hugging Face Hub: downloaded, checked, and kept in the cache that Python's `huggingface_hub` uses
 * too (Node only).
 */

export { downloadFile } from './download-file.ts';
export type { FileEvent, HubEvent, HubOptions } from './events.ts';
export { fetchAutoencoder, fetchModel } from './fetch-model.ts';
export { type HubLocation, parseHubName, RELEASED_AUTOENCODER, RELEASED_MODELS } from './names.ts';
export { type Environment, type HubSettings, hubSettings } from './settings.ts';
