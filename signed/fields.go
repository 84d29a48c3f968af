package signed

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fold gives equal texts for names which encoding/json would take for one another.
func fold(name string) string {
	plain := true
	for i := range len(name) {
		if c := name[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			plain = false
			break
		}
	}
	if plain {
		return name
	}
	return strings.Map(func(r rune) rune {
		// The smallest of the runes that are equal but for case, lowered: the
		// Kelvin sign is a k and the long s an s here too.
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return unicode.ToLower(next)
			}
			r = next
		}
	}, name)
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// settle follows pointers to the type that decides about names. It gives nil where
// the type decodes itself or says nothing, and a complaint about []byte, whose form
// in encoding/json is not ours ([Bytes] is).
func settle(target reflect.Type) (reflect.Type, string) {
	for target != nil {
		pointer := reflect.PointerTo(target)
		if pointer.Implements(jsonUnmarshaler) || pointer.Implements(textUnmarshaler) {
			return nil, ""
		}
		switch target.Kind() {
		case reflect.Pointer:
			target = target.Elem()
		case reflect.Interface:
			return nil, ""
		case reflect.Slice:
			if target.Elem().Kind() == reflect.Uint8 {
				return nil, "a type whose bytes have no base64url form"
			}
			return target, ""
		default:
			return target, ""
		}
	}
	return nil, ""
}

// lookUp finds fields of a struct by name. Names mostly come in the order of the
// fields, so each search starts behind the last find. (There is no cache by type:
// this package may not lock, see house_test.go.)
type lookUp struct{ next int }

// exact finds the field that has exactly this JSON name, nil if none has. Fields of
// embedded structs count as the struct's own, after those.
func (l *lookUp) exact(target reflect.Type, name string) reflect.Type {
	count := target.NumField()
	for i := range count {
		at := (l.next + i) % count
		field := target.Field(at)
		if known, ok := jsonName(field); ok && known == name {
			l.next = at + 1
			return field.Type
		}
	}
	for i := range count {
		if embedded := embeddedStruct(target.Field(i)); embedded != nil {
			if found := new(lookUp).exact(embedded, name); found != nil {
				return found
			}
		}
	}
	return nil
}

// near tells whether a field has this name but for case.
func near(target reflect.Type, folded string) bool {
	for i := range target.NumField() {
		field := target.Field(i)
		if known, ok := jsonName(field); ok && fold(known) == folded {
			return true
		}
		if embedded := embeddedStruct(field); embedded != nil && near(embedded, folded) {
			return true
		}
	}
	return false
}

// jsonName is the name of a field in JSON; ok is false if it has none.
func jsonName(field reflect.StructField) (name string, ok bool) {
	tag := field.Tag.Get("json")
	if !field.IsExported() || tag == "-" || embeddedStruct(field) != nil {
		return "", false
	}
	if name, _, _ = strings.Cut(tag, ","); name == "" {
		name = field.Name
	}
	return name, true
}

// embeddedStruct is the type of an embedded struct whose fields count as those of the
// struct around it, else nil.
func embeddedStruct(field reflect.StructField) reflect.Type {
	if !field.Anonymous || field.Tag.Get("json") != "" {
		return nil
	}
	embedded := field.Type
	if embedded.Kind() == reflect.Pointer {
		embedded = embedded.Elem()
	}
	if embedded.Kind() != reflect.Struct {
		return nil
	}
	return embedded
}
