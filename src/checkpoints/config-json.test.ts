import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../errors.ts';
import { loadClassifier } from './classifier.ts';
import { parseConfig } from './config-json.ts';
import { parseAutoencoderConfig } from './stored-autoencoder.ts';

const acdit = JSON.stringify({ modelType: 'acdit' });
const classifier = JSON.stringify({ modelType: 'classifier' });
const autoencoder = JSON.stringify({ _class_name: 'AutoencoderKL' });

describe('a configuration of another kind', () => {
  it('is named, with what to do with it', () => {
    const message =
      'c.json: describes a classifier, which acdit evaluate takes as --network; expected an ACDiT model';
    expect(() => parseConfig(classifier, 'c.json')).toThrow(message);
    expect(() => parseConfig(classifier, 'c.json')).toThrow(CheckpointError);
    expect(() => parseConfig(autoencoder, 'c.json')).toThrow(
      /describes an autoencoder, which commands take as --vae/,
    );
    expect(() => parseAutoencoderConfig(acdit, 'c.json')).toThrow(
      /describes an ACDiT model, which acdit sample, info and convert take as MODEL; expected an autoencoder/,
    );
    expect(() => parseAutoencoderConfig(classifier, 'c.json')).toThrow(/describes a classifier/);
  });

  it.each(['fashion-mnist', 'moving-fashion-mnist'])(
    'is named in the refusal of the bundled model %s',
    async (name) => {
      await expect(loadClassifier(`models/${name}`)).rejects.toThrow(
        /config.json: describes an ACDiT model.*expected a classifier, which acdit evaluate takes as --network$/,
      );
    },
  );

  it.each(['{}', '[]', '3', 'null', '{"modelType": "unheard of"}', '{"_class_name": "UNet"}'])(
    'is left to its parser if the kind is unknown: %s',
    (text) => {
      expect(() => parseConfig(text, 'c.json')).toThrow(/not the configuration of an ACDiT/);
    },
  );
});
