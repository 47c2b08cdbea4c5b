package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
)

// The file is text, so that whoever is called at night can see where a consumer is:
//
//	headrace checkpoints 1
//	"orders/billing" "4711" 2
//	crc32c a51d2941
//
// A line is key, offset and epoch, key and offset quoted as Go strings, which hold any bytes in one line. The last line
// is the checksum of all lines before it: a file that was cut has none, whatever the length of what is left.
const (
	fileMagic   = "headrace checkpoints "
	fileVersion = "1"
	sumPrefix   = "crc32c "
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// encodeFile sorts by key, so that the same checkpoints are the same bytes and two copies can be compared.
func encodeFile(all map[string]Checkpoint) []byte {
	b := []byte(fileMagic + fileVersion + "\n")
	for _, key := range slices.Sorted(maps.Keys(all)) {
		b = strconv.AppendQuote(b, key)
		b = append(b, ' ')
		b = strconv.AppendQuote(b, string(all[key].Offset))
		b = append(b, ' ')
		b = strconv.AppendUint(b, all[key].Epoch, 10)
		b = append(b, '\n')
	}
	return fmt.Appendf(b, sumPrefix+"%08x\n", checksum(b))
}

// decodeFile takes apart what encodeFile made. A version that it does not know is backend.ErrUnsupported; every other
// error means damage.
func decodeFile(text []byte) (map[string]Checkpoint, error) {
	if len(text) == 0 {
		return nil, errors.New("it is empty")
	}
	head, _, whole := bytes.Cut(text, []byte("\n"))
	version, ok := bytes.CutPrefix(head, []byte(fileMagic))
	if !ok || !whole {
		return nil, errors.New("it does not begin as a checkpoint file")
	}
	if string(version) != fileVersion {
		return nil, fmt.Errorf("%w: format version %.16q, this release reads %s", backend.ErrUnsupported, version, fileVersion)
	}
	body, ok := bytes.CutSuffix(text, []byte("\n"))
	sumAt := bytes.LastIndexByte(body, '\n') + 1
	if !ok || !bytes.HasPrefix(text[sumAt:], []byte(sumPrefix)) {
		return nil, errors.New("it is cut: the checksum line is missing")
	}
	if sum := fmt.Appendf(nil, sumPrefix+"%08x", checksum(text[:sumAt])); !bytes.Equal(body[sumAt:], sum) {
		return nil, fmt.Errorf("its checksum is %.32q where the content has %q", body[sumAt:], sum)
	}
	return decodeLines(string(text[len(head)+1 : sumAt]))
}

// decodeLines trusts nothing although the checksum was right: that only says that the lines are what somebody wrote.
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
		epoch, err := strconv.ParseUint(strings.TrimSuffix(rest, "\n"), 10, 63)
		if err != nil || epoch == 0 {
			return nil, fmt.Errorf("epoch in line %.80q is not a number from 1 to 2^63-1", line)
		}
		if _, twice := all[key]; twice || key == "" {
			return nil, fmt.Errorf("key in line %.80q is empty or there twice", line)
		}
		all[key] = Checkpoint{Offset: backend.Offset(offset), Epoch: epoch}
	}
	return all, nil
}

// cutQuoted takes a string in double quotes and the space behind it off the front of s.
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
