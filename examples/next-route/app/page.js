export default function Page() {
  return <p>POST /api/ai/v1/images/generations</p>;
}
