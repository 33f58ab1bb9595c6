package artifact

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/imported"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
)

// The parts of an artifact.
const (
	PartModel       = "model.safetensors"   // the parameters
	PartTransform   = "transform.json"      // the fitted transform
	PartSteps       = "steps.json"          // what cleaning steps have learnt; absent where none learns
	PartImported    = "imported.json"       // the trees that the spec imports; absent where it does not
	PartSpec        = "spec.yaml"           // the spec with every default written out
	PartSchema      = "schema.json"         // the columns of the spec's source
	PartProvenance  = "provenance.json"     // what the model came from
	PartDataset     = "dataset.json"        // the manifest of the training data; may be absent
	PartReference   = "reference.json"      // the values of columns that training saw; absent where no test compares with them
	PartEvents      = "events.avsc"         // the schema of events, where the spec names its file
	PartMembers     = "members.safetensors" // the parameters of models that were trained beside it; absent where the spec asks for none, and before
	PartCalibration = "calibration.json"    // what was made of the trained model; absent where the spec asks for nothing, and before
	PartSplit       = "split.json"          // the split's cut points, where scored rows say their split
)

// maxDocumentBytes bounds the spec, the schema, the provenance and what steps
// have learnt. Ten thousand columns fit.
const maxDocumentBytes = pipeline.MaxLearntBytes

// errMissing is of a part that is not there.
var errMissing = errors.New("is missing")

// format names the meaning of the parts, in the metadata of PartModel.
const format = "thalweg/1"

// encodeModel returns the bytes of PartModel. Its metadata binds the
// parameters to the transform whose ids they are indexed by, and to what was imported.
func (a *Artifact) encodeModel() []byte {
	return model.EncodeTensors(a.metadata(), a.Model.Views(), a.Params)
}

func (a *Artifact) metadata() map[string]string {
	m := map[string]string{"format": format, "model": a.Model.Type(), "label": a.Model.Loss().For(), "transform": a.Transform.Hash()}
	if a.plan.Imported != nil {
		m["imported"] = a.plan.Imported.Hash()
	}
	return m
}

// Encode returns the artifact as parts by name, together with the extra ones,
// which may be nil. Equal artifacts have equal bytes.
func (a *Artifact) Encode(extra map[string][]byte) (map[string][]byte, error) {
	fail := func(part string, err error) error {
		return &thalweg.Error{Op: "encode artifact", Kind: thalweg.Invalid, Subject: part, Err: err}
	}
	if err := a.check(); err != nil {
		return nil, fail(PartModel, err)
	}
	parts := map[string][]byte{PartModel: a.encodeModel(), PartSpec: a.rendered}
	for part, v := range map[string]any{PartTransform: a.Transform, PartSchema: a.Schema, PartProvenance: a.Provenance} {
		data, err := json.Marshal(v)
		if err != nil {
			return nil, fail(part, err)
		}
		parts[part] = data
	}
	if a.plan.Learnt != nil {
		parts[PartSteps] = a.plan.Learnt.JSON()
	}
	if a.plan.Imported != nil {
		parts[PartImported] = a.plan.Imported.Encode()
	}
	if a.Dataset != nil {
		if err := a.checkDataset(); err != nil {
			return nil, fail(PartDataset, err)
		}
		parts[PartDataset] = a.Dataset
	}
	if a.References != nil {
		data, err := json.Marshal(a.References)
		if err != nil {
			return nil, fail(PartReference, err)
		}
		parts[PartReference] = data
	}
	if a.Members != nil {
		if err := a.checkMembers(); err != nil {
			return nil, fail(PartMembers, err)
		}
		parts[PartMembers] = a.encodeMembers()
	}
	if a.Adjustment != nil {
		parts[PartCalibration] = a.Adjustment.encode()
	}
	if a.Spec.SaysSplit() {
		cuts, err := json.Marshal(a.Cuts)
		if err != nil || a.Cuts == nil {
			return nil, fail(PartSplit, cmp.Or(err, errMissing))
		}
		parts[PartSplit] = cuts
	}
	if err := a.checkEvents(); err != nil {
		return nil, fail(PartEvents, err)
	}
	if a.EventSchema != "" {
		parts[PartEvents] = []byte(a.EventSchema)
	}
	for part, data := range extra {
		if _, taken := parts[part]; taken || part == "" {
			return nil, fail(part, fmt.Errorf("an extra part cannot be called %q", part))
		}
		parts[part] = data
	}
	return parts, nil
}

// Decode is the inverse of Encode. Parts that are not of an artifact are kept
// in Extra. It fails with thalweg.Corrupt naming the part that is not there, is
// not what Encode writes, or belongs to another artifact than the others.
func Decode(catalog pipeline.Catalog, parts map[string][]byte) (*Artifact, error) {
	a := &Artifact{Extra: maps.Clone(parts), catalog: catalog, explained: new(explained)}
	for _, step := range []struct {
		part   string
		decode func([]byte) error
	}{
		{PartSchema, a.decodeSchema},
		{PartSpec, a.decodeSpec},
		{PartSteps, a.decodeSteps},
		{PartImported, a.decodeImported},
		{PartTransform, a.decodeTransform},
		{PartModel, a.decodeModel},
		{PartMembers, a.decodeMembers},
		{PartCalibration, a.decodeAdjustment},
		{PartProvenance, a.decodeProvenance},
		{PartSplit, a.decodeSplit},
	} {
		data, ok := parts[step.part]
		if step.part == PartSteps && !a.Spec.Learns() || step.part == PartSplit && !a.Spec.SaysSplit() || step.part == PartImported && a.Spec.Imports() == "" || (step.part == PartCalibration || step.part == PartMembers) && !ok {
			continue
		}
		err := errMissing
		if ok {
			err = step.decode(data)
		}
		if err != nil {
			return nil, &thalweg.Error{Op: "decode artifact", Kind: thalweg.Corrupt, Subject: step.part, Err: err}
		}
		delete(a.Extra, step.part)
	}
	if data, ok := parts[PartDataset]; ok {
		a.Dataset = bytes.Clone(data)
		if err := a.checkDataset(); err != nil {
			return nil, &thalweg.Error{Op: "decode artifact", Kind: thalweg.Corrupt, Subject: PartDataset, Err: err}
		}
		delete(a.Extra, PartDataset)
	}
	if data, ok := parts[PartReference]; ok {
		if err := a.decodeReference(data); err != nil {
			return nil, &thalweg.Error{Op: "decode artifact", Kind: thalweg.Corrupt, Subject: PartReference, Err: err}
		}
		delete(a.Extra, PartReference)
	}
	if a.Spec.SchemaFile() != "" {
		a.EventSchema = string(parts[PartEvents])
		if err := a.checkEvents(); err != nil {
			return nil, &thalweg.Error{Op: "decode artifact", Kind: thalweg.Corrupt, Subject: PartEvents, Err: err}
		}
		delete(a.Extra, PartEvents)
	}
	return a, nil
}

func (a *Artifact) decodeReference(data []byte) error {
	if err := strict(data, &a.References); err != nil {
		return err
	}
	for column, r := range a.References {
		if r == nil {
			return fmt.Errorf("column %q: %w", column, errMissing)
		}
		if err := r.Check(); err != nil {
			return fmt.Errorf("column %q: %w", column, err)
		}
	}
	return nil
}

// checkDataset reports a manifest that is not the one that provenance names.
func (a *Artifact) checkDataset() error {
	if have := sum(a.Dataset); have != a.Provenance.Dataset {
		return fmt.Errorf("is of sha256 %s, the provenance names %s", have, a.Provenance.Dataset)
	}
	return nil
}

func (a *Artifact) decodeSchema(data []byte) error {
	// With the tables that rows are joined to.
	if len(data) > maxDocumentBytes+2*table.MaxLookupBytes {
		return fmt.Errorf("%d bytes cannot be", len(data))
	}
	if err := thalweg.DecodeStrict(data, &a.Schema); err != nil {
		return err
	}
	seen := make(map[string]bool, len(a.Schema.Columns))
	for _, c := range a.Schema.Columns {
		if c.Name == "" || c.Name == table.RowColumn || seen[c.Name] || c.Type.ArrowType() == nil {
			return fmt.Errorf("column %q of type %q cannot be or is duplicated", c.Name, c.Type)
		}
		seen[c.Name] = true
	}
	return nil
}

func (a *Artifact) decodeSpec(data []byte) (err error) {
	if len(data) > maxDocumentBytes {
		return fmt.Errorf("%d bytes, the bound is %d", len(data), maxDocumentBytes)
	}
	if a.Spec, err = pipeline.Parse(a.catalog, PartSpec, data); err != nil {
		return err
	}
	a.rendered = bytes.Clone(data)
	a.plan, err = pipeline.Compile(a.Spec, a.Schema)
	return err
}

func (a *Artifact) decodeSteps(data []byte) error {
	var learnt pipeline.Learnt
	err := strict(data, &learnt)
	if err == nil && !bytes.Equal(data, learnt.JSON()) {
		err = fmt.Errorf("is not in the one form")
	}
	if err != nil {
		return err
	}
	a.plan, err = a.plan.WithLearnt(learnt)
	return err
}

func (a *Artifact) decodeImported(data []byte) error {
	e, err := imported.Decode(data)
	if err != nil {
		return err
	}
	if !imported.Names(a.Spec.Imports(), e) {
		return fmt.Errorf("is %s, the spec's is %s", e.Hash(), a.Spec.Imports())
	}
	a.plan, err = a.plan.WithImported(e)
	return err
}

func (a *Artifact) decodeTransform(data []byte) (err error) {
	a.Transform, err = feature.Load(a.plan, data)
	return err
}

func (a *Artifact) decodeModel(data []byte) (err error) {
	if a.Model, err = newModel(a.plan, a.Transform); err != nil {
		return err
	}
	metadata, err := model.TensorMetadata(data)
	if err != nil {
		return err
	}
	if want := a.metadata(); !maps.Equal(metadata, want) {
		return fmt.Errorf("metadata %v, not %v", metadata, want)
	}
	if a.Params, err = model.DecodeTensors(a.Model.Views(), data); err != nil {
		return err
	}
	return a.check()
}

func (a *Artifact) decodeSplit(data []byte) error {
	a.Cuts = new(split.Cuts)
	if err := strict(data, a.Cuts); err != nil {
		return err
	}
	if s := a.Spec.Spec.Preprocessing.Split; a.Cuts.Type != s.Type || a.Cuts.Column != s.Column {
		return fmt.Errorf("is of a %s split by %q, the spec's is %s by %q", a.Cuts.Type, a.Cuts.Column, s.Type, s.Column)
	}
	return nil
}

func (a *Artifact) decodeProvenance(data []byte) error {
	if err := strict(data, &a.Provenance); err != nil {
		return err
	}
	if t := a.Provenance.Threshold; (t != nil) != (a.plan.Label.Optimize != "") || t != nil && !(*t >= 0 && *t <= 1) {
		return fmt.Errorf("its threshold is not one that the spec has chosen")
	}
	if means := a.Provenance.LabelMeans; means != nil && (len(means) != max(1, len(a.Transform.Label().Classes)) || slices.ContainsFunc(means, func(x float64) bool { return x-x != 0 })) {
		return fmt.Errorf("means %v are not those of its label", means)
	}
	if a.Provenance.Members != a.memberHash {
		return fmt.Errorf("is of members %s, the members are %s", a.Provenance.Members, a.memberHash)
	}
	if have := a.Adjustment.hash(); a.Provenance.Calibration != have {
		return fmt.Errorf("is of calibration %s, the calibration is %s", a.Provenance.Calibration, have)
	}
	if a.Provenance.Spec != sum(a.rendered) {
		return fmt.Errorf("is of spec %s, the spec is %s", a.Provenance.Spec, sum(a.rendered))
	}
	if have := a.plan.Learnt.Hash(); a.Provenance.Steps != have {
		return fmt.Errorf("is of steps %s, the steps are %s", a.Provenance.Steps, have)
	}
	if have := a.plan.Imported.Hash(); a.Provenance.Imported != have {
		return fmt.Errorf("is of the imported model %s, the model is %s", a.Provenance.Imported, have)
	}
	if want := lookupsOf(a.Schema); !reflect.DeepEqual(a.Provenance.Lookups, want) {
		return fmt.Errorf("is of other tables than those of the schema")
	}
	if want := labelsOf(a.Schema); !reflect.DeepEqual(a.Provenance.Labels, want) {
		return fmt.Errorf("is of other labels than those of the schema")
	}
	if a.Provenance.Transform != a.Transform.Hash() {
		return fmt.Errorf("is of transform %s, the transform is %s", a.Provenance.Transform, a.Transform.Hash())
	}
	return nil
}

// strict decodes one JSON document without unknown fields.
func strict(data []byte, v any) error {
	if len(data) > maxDocumentBytes {
		return fmt.Errorf("%d bytes, the bound is %d", len(data), maxDocumentBytes)
	}
	return thalweg.DecodeStrict(data, v)
}

// checkEvents holds the schema of events against the spec and the columns.
func (a *Artifact) checkEvents() error {
	switch {
	case a.Spec.SchemaFile() == "" && a.EventSchema != "":
		return fmt.Errorf("the spec names no file of a schema")
	case a.Spec.SchemaFile() == "":
		return nil
	case a.EventSchema == "":
		return errMissing
	}
	_, err := a.NewDecoder(event.Config{}) // of which no key is asked before it decodes
	return err
}
