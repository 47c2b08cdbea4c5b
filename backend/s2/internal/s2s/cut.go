package s2s

// Cut cuts the first frame off p, without a copy. whole is false if p does not hold the whole frame.
func Cut(p []byte) (flags Flags, payload, rest []byte, whole bool) {
	if len(p) < HeaderSize {
		return 0, nil, p, false
	}
	end := 3 + (int(p[0])<<16 | int(p[1])<<8 | int(p[2])) // the length counts the byte of the flags
	if end < HeaderSize || end > len(p) {
		return 0, nil, p, false
	}
	return Flags(p[3]), p[HeaderSize:end], p[end:], true
}
