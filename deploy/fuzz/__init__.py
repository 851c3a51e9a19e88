"""bytes from outside, spoilt -> every parser that reads them: only its declared errors, no hang, no unsafe write."""
