/** @file The loss of a training, step by step. */

const [WIDTH, HEIGHT] = [320, 120];
/** Of the average that is drawn over the single losses. */
const DECAY = 0.9;

export function LossChart({ losses, steps }: { readonly losses: readonly number[]; readonly steps: number }) {
  const last = losses.at(-1);
  const highest = Math.max(0.1, ...losses);
  const point = (loss: number, step: number): string =>
    `${((step / Math.max(1, steps - 1)) * WIDTH).toFixed(1)},${(HEIGHT * (1 - loss / highest)).toFixed(1)}`;
  const smooth = movingAverage(losses);
  return (
    <figure class="chart">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={last ? `Loss ${smooth.at(-1)?.toFixed(3)}` : 'No loss yet'}
      >
        <polyline class="thin" points={losses.map(point).join(' ')} />
        <polyline class="thick" points={smooth.map(point).join(' ')} />
      </svg>
      <figcaption>
        {last === undefined
          ? 'The loss: how wrong the predicted noise is.'
          : `Step ${losses.length} of ${steps}, loss ${smooth.at(-1)?.toFixed(3)}`}
      </figcaption>
    </figure>
  );
}

function movingAverage(losses: readonly number[]): number[] {
  let [sum, weight] = [0, 0];
  return losses.map((loss) => {
    sum = DECAY * sum + (1 - DECAY) * loss;
    weight = DECAY * weight + (1 - DECAY);
    return sum / weight;
  });
}
