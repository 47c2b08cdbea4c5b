package checkpoint

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
)

// The file is text, for an operator who must find the place of a consumer at night:
//
//	headrace checkpoints 2
//	"orders/billing" "4711" 2
//	"orders/mailing" "4702" 5 aHVzaA8BAQID
//	crc32c 46cfc2ec
//
// A line holds key, offset and epoch, and Ahead in base64 unless it is empty. Key and offset are quoted as Go strings,
// which can hold any bytes in one line. Version 1 can still be read, and had no Ahead. The last line is the checksum of
// all lines before. A cut file has no checksum line, whatever the place of the cut.
const (
	fileMagic   = "headrace checkpoints "
	fileVersion = "2"
	sumPrefix   = "crc32c "
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// encodeFile writes the keys in sorted order. The same checkpoints give the same bytes, and people can compare two
// copies.
func encodeFile(all map[string]Checkpoint) []byte {
	b := []byte(fileMagic + fileVersion + "\n")
	for _, key := range slices.Sorted(maps.Keys(all)) {
		b = strconv.AppendQuote(b, key)
		b = append(b, ' ')
		b = strconv.AppendQuote(b, string(all[key].Offset))
		b = append(b, ' ')
		b = strconv.AppendUint(b, all[key].Epoch, 10)
		if all[key].Ahead != "" {
			b = append(b, ' ')
			b = base64.StdEncoding.AppendEncode(b, []byte(all[key].Ahead))
		}
		b = append(b, '\n')
	}
	return fmt.Appendf(b, sumPrefix+"%08x\n", checksum(b))
}

// decodeFile reads a text of encodeFile. An unknown version is backend.ErrUnsupported. Every other error means damage.
func decodeFile(text []byte) (map[string]Checkpoint, error) {
	if len(text) == 0 {
		return nil, errors.New("the file is empty")
	}
	head, _, whole := bytes.Cut(text, []byte("\n"))
	version, ok := bytes.CutPrefix(head, []byte(fileMagic))
	if !ok || !whole {
		return nil, errors.New("the file does not begin with a checkpoint header")
	}
	if string(version) != fileVersion && string(version) != "1" {
		return nil, fmt.Errorf("%w: format version %.16q, this release reads 1 to %s", backend.ErrUnsupported, version, fileVersion)
	}
	body, ok := bytes.CutSuffix(text, []byte("\n"))
	sumAt := bytes.LastIndexByte(body, '\n') + 1
	if !ok || !bytes.HasPrefix(text[sumAt:], []byte(sumPrefix)) {
		return nil, errors.New("the file was cut: its checksum line is missing")
	}
	if sum := fmt.Appendf(nil, sumPrefix+"%08x", checksum(text[:sumAt])); !bytes.Equal(body[sumAt:], sum) {
		return nil, fmt.Errorf("the checksum line is %.32q, but the checksum of the content is %q", body[sumAt:], sum)
	}
	return decodeLines(string(text[len(head)+1 : sumAt]))
}

// decodeLines checks every line although the checksum was right. The checksum only proves that nobody has changed the
// lines since the writing, and not that the lines are valid.
func decodeLines(lines string) (map[string]Checkpoint, error) {
	all := make(map[string]Checkpoint)
	for line := range strings.Lines(lines) {
		key, rest, err := cutQuoted(line)
		if err != nil {
			return nil, fmt.Errorf("key in line %.80q: %w", line, err)
		}
		offset, rest, err := cutQuoted(rest)
		if err != nil {
			return nil, fmt.Errorf("offset in line %.80q: %w", line, err)
		}
		number, rest, more := strings.Cut(strings.TrimSuffix(rest, "\n"), " ")
		epoch, err := strconv.ParseUint(number, 10, 63)
		if err != nil || epoch == 0 {
			return nil, fmt.Errorf("epoch in line %.80q is not a number from 1 to 2^63-1", line)
		}
		cp := Checkpoint{Offset: backend.Offset(offset), Epoch: epoch}
		done, err := base64.StdEncoding.Strict().DecodeString(rest)
		cp.Ahead = string(done)
		if err := errors.Join(err, CheckAhead(cp)); err != nil || more && cp.Ahead == "" {
			return nil, fmt.Errorf("list of done records in line %.80q: %w", line, errors.Join(err, errors.New("not what this package writes")))
		}
		if _, twice := all[key]; twice || key == "" {
			return nil, fmt.Errorf("key in line %.80q is empty or there twice", line)
		}
		all[key] = cp
	}
	return all, nil
}

// cutQuoted removes a string in double quotes, and the space behind it, from the front of s.
func cutQuoted(s string) (value, rest string, err error) {
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil || quoted[0] != '"' {
		return "", "", errors.New("not a quoted string")
	}
	value, err = strconv.Unquote(quoted)
	if err != nil {
		return "", "", err
	}
	rest, ok := strings.CutPrefix(s[len(quoted):], " ")
	if !ok {
		return "", "", errors.New("no space behind the quoted string")
	}
	return value, rest, nil
}
