import { describe, expect, it } from 'vitest';
import { tinyFields } from '../../test/support/tiny-config.ts';
import { CheckpointError, ConfigError } from '../errors.ts';
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

describe('the configuration of a stranger', () => {
  const tiny = { ...tinyFields, attention: undefined as unknown };

  it.each([
    ['./mask.mjs', /attention must be .* got '.\/mask.mjs'; a model holds the table of a module/],
    ['https://example.org/mask.js', /attention must be .* got 'https:/],
    [{ window: 0, sinks: 0 }, /attention must have a window of 1 block or more, got 0/],
    [{ window: 1, sinks: -3 }, /attention must have 0 or more sinks, got -3/],
    [{ noised: ['1'] }, /attention must have one row for each of 4 blocks/],
    [
      { noised: Array(4).fill({}) },
      /attention must have rows of 4 characters 0 or 1 in noised, got an object/,
    ],
    [null, /attention must be .* got null/],
  ])('with attention %j is refused in one line', (attention, message) => {
    const text = JSON.stringify({ ...tiny, attention });
    expect(() => parseConfig(text, 'c.json')).toThrow(ConfigError);
    expect(() => parseConfig(text, 'c.json')).toThrow(message);
    expect(() => parseConfig(text, 'c.json')).toThrow(/^c\.json: [^\n]*$/);
  });

  it('keeps its attention', () => {
    for (const attention of ['full', { window: 2, sinks: 1 }, { noised: ['1000', '1100', '0110', '0011'] }]) {
      expect(parseConfig(JSON.stringify({ ...tiny, attention }), 'c.json').attention).toEqual(attention);
    }
    expect(parseConfig(JSON.stringify(tiny), 'c.json')).not.toHaveProperty('attention');
  });
});
