// An address space walked whole, and the values that nobody should be able to write into it.
import { BrowseDirection, DataType, Variant, VariantArrayType } from "node-opcua";

const BATCH = 50;

export async function walk(session) {
  const seen = new Map();
  let front = ["i=84"];
  while (front.length > 0) {
    const next = [];
    for (let i = 0; i < front.length; i += BATCH) {
      const asked = front.slice(i, i + BATCH).map((nodeId) => ({
        nodeId, browseDirection: BrowseDirection.Forward, referenceTypeId: "i=33", includeSubtypes: true,
        nodeClassMask: 0, resultMask: 63,
      }));
      const results = await session.browse(asked);
      results.forEach((result, k) => {
        for (const ref of result.references ?? []) {
          const id = ref.nodeId.toString();
          if (!seen.has(id)) {
            seen.set(id, { nodeClass: ref.nodeClass, parent: front[i + k], name: ref.browseName.toString() });
            next.push(id);
          }
        }
      });
    }
    front = next;
  }
  return seen;
}

export function hasNaN(value) {
  if (typeof value === "number") return !Number.isFinite(value);
  if (value instanceof Float64Array || value instanceof Float32Array) return value.some((x) => !Number.isFinite(x));
  return Array.isArray(value) && value.some(hasNaN);
}

export function wrongs(own) {
  const double = (value) => new Variant({ dataType: DataType.Double, value });
  const all = {
    "NaN": double(NaN),
    "infinity": double(Infinity),
    "a text": new Variant({ dataType: DataType.String, value: "x".repeat(1000) }),
    "an array": new Variant({ dataType: DataType.Double, arrayType: VariantArrayType.Array,
                              value: new Float64Array(20).fill(1) }),
    "NaN in an array": new Variant({ dataType: DataType.Double, arrayType: VariantArrayType.Array,
                                     value: new Float64Array(125).fill(NaN) }),
    "NaN as Float": new Variant({ dataType: DataType.Float, value: NaN }),
    "nothing": new Variant({ dataType: DataType.Null }),
  };
  return own === null ? all : { "its own value": own, ...all };
}

export async function inBatches(items, work) {
  const found = [];
  for (let i = 0; i < items.length; i += BATCH) found.push(...await work(items.slice(i, i + BATCH)));
  return found;
}
