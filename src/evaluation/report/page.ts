/** @file The page of an evaluation's report: one file, which needs no other and no network. */

/** Text as it may stand in HTML, in attributes too. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** A line of the table of metrics. */
export interface ReportMetric {
  readonly title: string;
  readonly value: string;
  readonly note: string;
}

/** An image or chart with what it shows. */
export interface ReportFigure {
  /** HTML: an image with its `alt`, or an SVG with its description. */
  readonly content: string;
  readonly caption: string;
}

export interface ReportContent {
  readonly title: string;
  readonly metrics: readonly ReportMetric[];
  /** What was compared, and how: terms and their descriptions. */
  readonly facts: readonly (readonly [term: string, description: string])[];
  readonly warnings: readonly string[];
  readonly sections: readonly { readonly title: string; readonly figures: readonly ReportFigure[] }[];
  /** The last line. */
  readonly footer: string;
}

/** Light or dark, as the reader's system is; both pairs of colours are distinct for colour-blind readers. */
const STYLE = `
:root { color-scheme: light dark; --back: #fff; --text: #1d2329; --soft: #59636e; --line: #d5dae0; --reference: #1f6fb4; --samples: #b8500c; --panel: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --back: #14181d; --text: #e5e9ee; --soft: #a3aeb9; --line: #353d46; --reference: #6cb2f2; --samples: #f29b5b; --panel: #1c2229; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 72rem; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1.5rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 0.75rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: var(--soft); padding-bottom: 0.5rem; }
th, td { text-align: left; vertical-align: baseline; padding: 0.45rem 1rem 0.45rem 0; border-bottom: 1px solid var(--line); }
th[scope=row] { white-space: nowrap; font-weight: 600; }
td.value { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; font-weight: 600; }
thead th { color: var(--soft); font-weight: 400; font-size: 0.9rem; }
thead th.value { text-align: right; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: 0.3rem 1.25rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.warnings { border-left: 4px solid var(--samples); background: var(--panel); padding: 0.6rem 1rem; margin: 1.5rem 0 0; }
.warnings ul { margin: 0; padding-left: 1.1rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1.5rem; align-items: start; }
figure { margin: 0; background: var(--panel); padding: 1rem; border-radius: 0.5rem; }
figcaption { color: var(--soft); font-size: 0.9rem; margin-top: 0.6rem; }
img, svg { display: block; max-width: 100%; height: auto; }
img { image-rendering: pixelated; margin: 0 auto; }
svg { width: 100%; } svg text { fill: var(--text); font: 13px system-ui, sans-serif; }
.grid { stroke: var(--line); fill: none; } .axis { stroke: var(--soft); fill: none; }
.line { fill: none; stroke-width: 2.2; } .line.samples { stroke-dasharray: 7 4; }
.marks { fill: none; stroke-linecap: round; opacity: 0.6; } .marks.reference { stroke-width: 5; } .marks.samples { stroke-width: 1.4; }
.line.reference, .marks.reference { stroke: var(--reference); } .line.samples, .marks.samples { stroke: var(--samples); }
rect.reference { fill: var(--reference); } rect.samples { fill: var(--samples); }
footer { color: var(--soft); font-size: 0.9rem; margin-top: 3rem; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: 0.5rem; } }
`;

/** The whole page. */
export function reportPage(content: ReportContent): string {
  const { title, metrics, facts, warnings, sections, footer } = content;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
${metricsTable(metrics)}
${warningList(warnings)}
<h2>What was compared, and how</h2>
<dl>${facts.map(([term, text]) => `<dt>${escapeHtml(term)}</dt><dd>${escapeHtml(text)}</dd>`).join('\n')}</dl>
${sections.map(section).join('\n')}
</main>
<footer>${escapeHtml(footer)}</footer>
</body>
</html>
`;
}

function metricsTable(metrics: readonly ReportMetric[]): string {
  const rows = metrics.map(
    ({ title, value, note }) =>
      `<tr><th scope="row">${escapeHtml(title)}</th><td class="value">${escapeHtml(value)}</td><td>${escapeHtml(note)}</td></tr>`,
  );
  return `<table>
<caption>Metrics of the samples against the reference</caption>
<thead><tr><th scope="col">metric</th><th scope="col" class="value">value</th><th scope="col">what it is</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>`;
}

function warningList(warnings: readonly string[]): string {
  if (warnings.length === 0) return '';
  const items = warnings.map((warning) => `<li>${escapeHtml(warning)}</li>`);
  return `<section class="warnings" aria-label="Warnings"><ul>${items.join('')}</ul></section>`;
}

function section({ title, figures }: ReportContent['sections'][number]): string {
  const drawn = figures.map(
    ({ content, caption }) => `<figure>${content}<figcaption>${escapeHtml(caption)}</figcaption></figure>`,
  );
  return `<h2>${escapeHtml(title)}</h2>\n<div class="figures">\n${drawn.join('\n')}\n</div>`;
}
