// openai-node.
import OpenAI, { APIError } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { VERSION } from "openai/version";
import { z } from "zod";

const client = new OpenAI({ baseURL: `${process.env.GATE_URL}/v1`, apiKey: process.env.GATE_KEY });
const completions = client.chat.completions;
const messages = [{ role: "user", content: "hello there" }];
const parameters = { type: "object", properties: { query: { type: "string" } } };
const tools = [{ type: "function", function: { name: "look_up", parameters } }];

async function streamed() {
  let text = "", tokens;
  const options = { include_usage: true };
  for await (const chunk of await completions.create({ model: "assistant", messages, stream: true, stream_options: options })) {
    text += chunk.choices[0]?.delta.content ?? "";
    tokens = chunk.usage?.total_tokens ?? tokens;
  }
  return [text, tokens];
}

// What the model says when it has the tool's result.
async function withTool(ask) {
  const message = await ask(messages);
  const [call] = message.tool_calls;
  const content = `found ${JSON.parse(call.function.arguments).query}`;
  return (await ask([...messages, message, { role: "tool", tool_call_id: call.id, content }])).content;
}
const whole = async (messages) => (await completions.create({ model: "tools", messages, tools })).choices[0].message;
const streamedToTheEnd = (messages) => completions.stream({ model: "tools", messages, tools }).finalMessage();

async function parsed() {
  const Person = z.object({ name: z.string(), age: z.number() });
  const response_format = zodResponseFormat(Person, "person");
  return (await completions.parse({ model: "facts", messages, response_format })).choices[0].message.parsed;
}

async function refused(model) {
  try {
    await completions.create({ model, messages });
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    return [error.constructor.name, error.status, error.code];
  }
}

const plain = await completions.create({ model: "assistant", messages });
const seen = {
  version: VERSION,
  chat: [plain.choices[0].message.content, plain.usage.total_tokens],
  stream: await streamed(),
  tool: await withTool(whole),
  tool_stream: await withTool(streamedToTheEnd),
  structured: await parsed(),
  embeddings: (await client.embeddings.create({ model: "search", input: ["a", "b"] })).data.map((item) => item.embedding),
  refused: await refused("spent"),
  unknown: await refused("nothing"),
};
console.log(JSON.stringify(seen));
